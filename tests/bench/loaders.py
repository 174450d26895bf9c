"""Peers that stream samples into training, each with its own format of the same pictures and its own way to shuffle.

A peer is a module-level class: `write` makes its files, `open` a loader that gives batches `(keys, payloads)`, where a
payload is the bytes of a JPEG, or, decoded, a picture (all of the batch as one tensor where a worker hands them over).
`state` and `resume` are how it goes on; a peer whose way is to begin anew and skip does that. Files, Arrow and Parquet are
not loaders by themselves: they are read by a map-style data set and a sampler with a seed, which is how they are used.
"""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.pictures import Chat

BATCH = 32
SEED = 17
_BUFFER = 1000
_SHARD_BYTES = 64 << 20

#: What a loader hands over: the keys of the samples, and their JPEGs or pictures.
Batch = tuple[list[str], Any]


def decoded(jpeg: bytes) -> Any:
    """A picture as PIL decodes it: height, width, RGB."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def sample(key: str, jpeg: bytes, decode: bool) -> tuple[str, Any]:
    """One sample as a data set gives it."""
    return key, decoded(jpeg) if decode else jpeg


def collate(samples: list[tuple[str, Any]]) -> Batch:
    """Keys, and JPEGs or pictures; these as one tensor where they come from a worker, which is how it hands them over best."""
    import torch
    from torch.utils.data import get_worker_info

    keys, payloads = [key for key, _ in samples], [payload for _, payload in samples]
    as_they_are = isinstance(payloads[0], bytes) or get_worker_info() is None
    return keys, payloads if as_they_are else torch.from_numpy(np.stack(payloads))


class _CollateRows:
    """Collates what data sets of columns give; in the workers, where there are any."""

    def __init__(self, decode: bool) -> None:
        self.decode = decode

    def __call__(self, rows: list[dict[str, Any]]) -> Batch:
        return collate([sample(row["key"], row["jpeg"], self.decode) for row in rows])


class Sampled:
    """Batches of a map-style data set in an order of its own seed. The state is a number."""

    def __init__(self, data: Any, workers: int, skip: int = 0) -> None:
        self.data, self.workers, self.skip = data, workers, skip

    def __iter__(self) -> Iterator[Batch]:
        import torch
        from torch.utils.data import DataLoader

        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(SEED))
        options = {"batch_size": BATCH, "num_workers": self.workers, "collate_fn": collate}
        return iter(DataLoader(self.data, sampler=order[self.skip :].tolist(), **options))


class Files:
    """A JPEG and a text file for each sample."""

    name, package = "plain files", "torch"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for key, jpeg, chat in chats:
            (folder / f"{key}.jpg").write_bytes(jpeg)
            (folder / f"{key}.json").write_bytes(chat)

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        return Sampled(_FilesData(folder, decode), workers, state or 0)

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return batches * BATCH


class _FilesData:
    def __init__(self, folder: Path, decode: bool) -> None:
        self.folder, self.decode = str(folder), decode
        self.keys = sorted(name[:-5] for name in os.listdir(folder) if name.endswith(".json"))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, at: int) -> tuple[str, Any]:
        key = self.keys[at]
        with open(f"{self.folder}/{key}.jpg", "rb") as jpeg, open(f"{self.folder}/{key}.json", "rb") as chat:  # noqa: PTH123
            chat.read()
            return sample(key, jpeg.read(), self.decode)


class Arrow(Files):
    """HF datasets over mapped Arrow files, in an order of the sampler."""

    name, package = "HF datasets, Arrow", "datasets"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        import datasets

        datasets.disable_progress_bars()
        columns = {name: [row[at] for row in chats] for at, name in enumerate(("key", "jpeg", "json"))}
        datasets.Dataset.from_dict(columns).save_to_disk(str(folder))

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        import datasets

        return Sampled(_ArrowData(datasets.load_from_disk(str(folder)), decode), workers, state or 0)


class _ArrowData:
    def __init__(self, data: Any, decode: bool) -> None:
        self.data, self.decode = data, decode

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, rows: list[int]) -> list[tuple[str, Any]]:
        found = self.data[rows]
        return [sample(key, jpeg, self.decode) for key, jpeg in zip(found["key"], found["jpeg"], strict=True)]


class ParquetGroups:
    """Parquet read by row groups in shuffled order, through a buffer of a thousand; resumed by skipping groups."""

    name, package = "Parquet row groups", "pyarrow"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir(exist_ok=True)
        columns = {name: [row[at] for row in chats] for at, name in enumerate(("key", "jpeg", "json"))}
        table = pa.table({**columns, "json": pa.array(columns["json"], pa.binary())})
        for start in range(0, len(chats), 5000):
            path = folder / f"{start:06}.parquet"
            pq.write_table(table.slice(start, 5000), path, row_group_size=100, compression="none", use_dictionary=False)

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        from torch.utils.data import DataLoader

        data = _iterable(_ParquetData(folder, decode, state or 0))
        return DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=collate)

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return batches * BATCH


def _iterable(source: Any) -> Any:
    """An iterable data set of torch over something with `__iter__`."""
    from torch.utils.data import IterableDataset

    class Iterable(IterableDataset):  # type: ignore[type-arg]
        def __init__(self, source: Any) -> None:
            self.source = source

        def __iter__(self) -> Iterator[Any]:
            return iter(self.source)

    return Iterable(source)


class _ParquetData:
    def __init__(self, folder: Path, decode: bool, skip: int) -> None:
        self.paths, self.decode, self.skip = sorted(folder.glob("*.parquet")), decode, skip

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        import pyarrow.parquet as pq
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        files = [pq.ParquetFile(path) for path in self.paths]
        groups = [(at, group) for at, file in enumerate(files) for group in range(file.num_row_groups)]
        chance = np.random.default_rng(SEED)
        chance.shuffle(groups)
        groups = groups[self.skip // 100 :]
        groups = groups if worker is None else groups[worker.id :: worker.num_workers]
        held: list[tuple[str, bytes]] = []
        for at, group in groups:
            table = files[at].read_row_group(group)
            held += zip(table["key"].to_pylist(), table["jpeg"].to_pylist(), strict=True)
            chance.shuffle(held)
            while len(held) > _BUFFER:
                yield sample(*held.pop(), self.decode)
        for key, jpeg in held:
            yield sample(key, jpeg, self.decode)


class HfStreaming:
    """HF datasets over Parquet files that are streamed, with a shuffle buffer of a thousand."""

    name, package = "HF datasets, streaming", "datasets"
    write = ParquetGroups.write

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        import datasets
        from torch.utils.data import DataLoader

        paths = [str(path) for path in sorted(folder.glob("*.parquet"))]
        data = datasets.load_dataset("parquet", data_files=paths, split="train", streaming=True)
        data = data.shuffle(seed=SEED, buffer_size=_BUFFER)
        if state is not None:
            data.load_state_dict(state)
        return DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_CollateRows(decode))

    state = None


class WebDataset:
    """WebDataset: the very tars that the manifest is of, shards and a buffer of a thousand shuffled; resumed by skipping samples."""

    name, package = "WebDataset", "webdataset"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for path in (folder.parent / "tars").glob("*.tar"):
            os.link(path, folder / path.name)

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        import webdataset
        from torch.utils.data import DataLoader

        paths = [str(path) for path in sorted(folder.glob("*.tar"))]
        data = webdataset.WebDataset(
            paths,
            shardshuffle=100,
            seed=SEED,
            workersplitter=webdataset.split_by_worker,
            nodesplitter=None,
            empty_check=False,
        ).shuffle(_BUFFER, seed=SEED)
        if state:
            data = data.slice(state // max(workers, 1), 1 << 40)
        data = data.map(_TarSample(decode)).batched(BATCH, collation_fn=collate)
        return DataLoader(data, batch_size=None, num_workers=workers, collate_fn=_as_it_is)

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return batches * BATCH


def _as_it_is(batch: Batch) -> Batch:
    """A batch that is collated already."""
    return batch


class _TarSample:
    def __init__(self, decode: bool) -> None:
        self.decode = decode

    def __call__(self, found: dict[str, Any]) -> tuple[str, Any]:
        return sample(found["__key__"], found["jpg"], self.decode)


class Mosaic:
    """MosaicML Streaming, its default shuffle (py1e)."""

    name, package = "MosaicML Streaming", "streaming"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        from streaming import MDSWriter

        columns = {"key": "str", "jpeg": "bytes", "json": "bytes"}
        with MDSWriter(out=str(folder), columns=columns, size_limit=_SHARD_BYTES) as out:
            for key, jpeg, chat in chats:
                out.write({"key": key, "jpeg": jpeg, "json": chat})

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        from streaming import StreamingDataLoader, StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        data = StreamingDataset(local=str(folder), shuffle=True, shuffle_seed=SEED, batch_size=BATCH)
        loader = StreamingDataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_CollateRows(decode))
        if state is not None:
            loader.load_state_dict(state)
        return loader

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return loader.state_dict()


class Lit:
    """LitData, shuffled inside and across chunks."""

    name, package = "LitData", "litdata"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(folder), chunk_bytes=_SHARD_BYTES)
        for number, (key, jpeg, chat) in enumerate(chats):
            writer[number] = {"key": key, "jpeg": jpeg, "json": chat}
        writer.done()
        writer.merge(1)

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        from litdata import StreamingDataLoader, StreamingDataset

        data = StreamingDataset(str(folder), shuffle=True, seed=SEED, max_cache_size="100GB")
        loader = StreamingDataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_CollateRows(decode))
        if state is not None:
            loader.load_state_dict(state)
        return loader

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return loader.state_dict()


class Energon:
    """Megatron Energon over WebDataset tars, with a shuffle buffer of a thousand; pictures are decoded after it."""

    name, package = "Energon", "megatron.energon"

    @staticmethod
    def write(chats: list[Chat], folder: Path) -> None:
        from megatron.energon.flavors.webdataset import BaseWebdatasetFactory

        WebDataset.write(chats, folder)
        names = sorted(path.name for path in folder.glob("*.tar"))
        BaseWebdatasetFactory.prepare_dataset(folder, names, split_parts_ratio=[("train", 1.0)], workers=2)
        text = "__module__: megatron.energon\n__class__: CrudeWebdataset\nsubflavors: {kind: chat}\n"
        (folder / ".nv-meta" / "dataset.yaml").write_text(text)

    @staticmethod
    def open(folder: Path, decode: bool, workers: int, state: Any = None) -> Any:
        from megatron.energon import WorkerConfig, get_savable_loader, get_train_dataset

        from tests.bench.energon import task_encoder

        data = get_train_dataset(
            str(folder),
            worker_config=WorkerConfig(rank=0, world_size=1, num_workers=workers),
            batch_size=BATCH,
            shuffle_buffer_size=_BUFFER,
            max_samples_per_sequence=100,
            task_encoder=task_encoder(decode),
        )
        loader = get_savable_loader(data)
        if state is not None:
            # Its own state, written a moment ago.
            loader.restore_state_rank(pickle.loads(state))
        return loader

    @staticmethod
    def state(loader: Any, batches: int) -> Any:
        return pickle.dumps(loader.save_state_rank())


PEERS: dict[str, Any] = {
    peer.__name__: peer for peer in (WebDataset, Mosaic, Lit, Energon, Arrow, HfStreaming, ParquetGroups, Files)
}


def keys_of(batch: Any) -> list[str]:
    """The keys of a batch."""
    return [str(key) for key in batch[0]]


def as_text(state: Any) -> str:
    """A state as text, to pass to another process."""
    return json.dumps(state) if not isinstance(state, bytes) else "hex:" + state.hex()


def from_text(text: str) -> Any:
    """The other way."""
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else json.loads(text)
