"""A manifest in a store: its document is fetched when it is opened, each shard when it is first read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recipe_compiler.errors import FileMissing, ManifestCorrupt, ManifestError
from recipe_compiler.manifest import codec, store
from recipe_compiler.manifest.files import write_bytes_atomically
from recipe_compiler.manifest.schema import Manifest, ShardRef
from recipe_compiler.remote.access import Access
from recipe_compiler.remote.address import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteManifest:
    """A manifest below a URL, and the folder on this disk where its parts come to lie."""

    url: str
    cache: Path
    access: Access
    folder: Path
    manifest: Manifest

    @staticmethod
    def open(url: str, cache: Path, access: Access) -> RemoteManifest:
        """Fetches the document, if it is not in the cache. Raises `RecipeError` where there is none, or no intact one."""
        from recipe_compiler.remote.copies import Copies

        home = url.rstrip("/")
        document = f"{home}/{store.DOCUMENT}"
        copies = Copies(cache, access)
        try:
            stat = copies.stores.stat([document])[0]
        except FileMissing:
            raise ManifestError(
                f"{shown(document)}: is not there; name the folder that `recipe compile` wrote"
            ) from None
        if stat.size > store.MAX_DOCUMENT_BYTES:
            raise ManifestCorrupt(document, f"{stat.size:,} bytes, and a manifest's document has at most 16 MiB")
        data = copies.get(document, stat).path.read_bytes()
        manifest = codec.decode(data, document)
        # By its id and how its recipe is written, so that equal documents are one folder wherever they lie.
        folder = cache / "manifests" / f"{manifest.ids.manifest[:32]}-{manifest.ids.texts[:16]}"
        (folder / store.SHARDS).mkdir(parents=True, exist_ok=True)
        if not (folder / store.DOCUMENT).exists():
            write_bytes_atomically(folder / store.DOCUMENT, data)
        return RemoteManifest(url=home, cache=cache, access=access, folder=folder, manifest=manifest)

    def shard(self, shard: ShardRef) -> pa.Table:
        """The rows of a shard, proved to be those that were written. One that is damaged on this disk is fetched again."""
        fetched = self.bring(shard)
        try:
            return store.read_shard(self.folder, shard)
        except ManifestCorrupt:
            if fetched:
                raise
        (self.folder / shard.file).unlink(missing_ok=True)
        self.bring(shard)
        return store.read_shard(self.folder, shard)

    def bring(self, shard: ShardRef) -> bool:
        """Fetches a shard that is not on this disk; whether it had to."""
        from recipe_compiler.remote.copies import Copies

        if shard.file != store.shard_file(shard.digest):
            raise ManifestCorrupt(f"{self.url}/{shard.file}", "a shard is named by its digest")
        target = self.folder / shard.file
        if target.exists():
            return False
        copies = Copies(self.cache, self.access)
        url = f"{self.url}/{shard.file}"
        copy = copies.get(url, copies.stores.stat([url])[0])
        # Another process may bring the same one.
        with suppress(FileNotFoundError):
            copy.path.replace(target)
        return True

    def bring_all(self) -> Path:
        """The folder, with every shard in it."""
        for shard in self.manifest.shards:
            self.bring(shard)
        return self.folder
