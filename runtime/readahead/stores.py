"""Files of stores, and local ones beside them, read by threads of this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from recipe_compiler.errors import DataError, FileMissing
from runtime.readahead.fetch import Batches, Failed, Fetched
from runtime.reader import Reader
from runtime.sample import Sample, of_media
from runtime.storage.ahead import read_ahead


class RemoteFetch:
    """Reads batches whose bytes lie in stores; all that a batch needs of them is asked for together.

    `memory` bounds the bytes that wait to be handed over, besides the batch that is next.
    """

    def __init__(self, reader: Reader, *, memory: int = 0) -> None:
        self.reader = reader
        self.memory = memory

    def read(self, batches: Iterable[Sequence[int]]) -> Batches:
        """The samples of each batch, in order. A draw that cannot be read is `Failed`.

        A changed file raises `DataError`, and a store that does not answer `StorageError`.
        """
        yield from read_ahead(self.batch, batches, _media_bytes, self.memory)

    def batch(self, positions: Sequence[int]) -> Fetched:
        """The samples of one batch."""
        records = self.reader.records(positions)
        samples: Fetched = []
        for position in positions:
            try:
                samples.append(self.reader.sample(position, records.get(position)))
            except DataError as error:
                samples.append(Failed(position, error.path, error.reason))
        urls = {it.url: None for sample in samples if isinstance(sample, Sample) for it in sample.media if it.url}
        data = self._media(list(urls))
        return [_filled(sample, data) if isinstance(sample, Sample) else sample for sample in samples]

    def _media(self, urls: list[str]) -> dict[str, bytes]:
        """The media that there are."""
        if not urls:
            return {}
        try:
            return dict(zip(urls, self.reader.remote.read_whole(urls), strict=True))
        except FileMissing:
            # One is missing: which, the others tell.
            found = {}
            for url in urls:
                try:
                    (found[url],) = self.reader.remote.read_whole([url])
                except FileMissing:
                    continue
            return found


def _filled(sample: Sample, data: dict[str, bytes]) -> Sample | Failed:
    missing = next((it.url for it in sample.media if it.url is not None and it.url not in data), None)
    if missing is not None:
        return Failed(sample.position, missing, of_media(sample.position, "is not there"))
    return replace(sample, media=[it.filled(data) for it in sample.media])


def _media_bytes(batch: Fetched) -> int:
    return sum(
        len(media.data)
        for sample in batch
        if isinstance(sample, Sample)
        for media in sample.media
        if media.data is not None
    )
