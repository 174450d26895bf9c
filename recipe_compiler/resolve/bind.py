"""`bind`: a plan and a disk -> a bound plan: every file pinned by content, every pool indexed, or the reasons why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe_compiler import scanning
from recipe_compiler.diagnostics import Findings, RecordPlace
from recipe_compiler.errors import DataError, RecipeError
from recipe_compiler.manifest import rows
from recipe_compiler.manifest.files import is_file, leads_out, read_at, record_stream
from recipe_compiler.manifest.schema import AnnotationRef, SourceRef
from recipe_compiler.model.check import CheckedRecipe
from recipe_compiler.plan import nodes
from recipe_compiler.plan.lower import Plan
from recipe_compiler.plan.nodes import Node
from recipe_compiler.remote.address import is_remote, is_web
from recipe_compiler.remote.stat import Stat
from recipe_compiler.resolve import media
from recipe_compiler.resolve.index import FileIndex, remember
from recipe_compiler.resolve.inventory import Digests, list_files
from recipe_compiler.resolve.remote import Remote, tell
from recipe_compiler.resolve.wording import wanted, worded_file
from recipe_compiler.resolve.workspace import Workspace

#: How much of a malformed record is shown.
_EXCERPT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundFile:
    """A file, pinned."""

    path: str
    size: int
    digest: str
    wrapping: str
    layout: Mapping[str, Any]
    stream: Path
    index: FileIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPool:
    """A pool: its files by name, the mapping that reads them, and why it is that mapping."""

    scan: nodes.Scan
    node: Node
    files: tuple[BoundFile, ...]
    preset: str
    fields: Mapping[str, Any]
    why: str
    missing_media: tuple[str, ...]
    samples: int
    digest: str
    """Of all its samples, in any order, before any rule."""
    repeats: bool
    """Whether some of them are the same."""

    @property
    def sources(self) -> tuple[SourceRef, ...]:
        """Its files, as a manifest or a lock pins them."""
        return tuple(
            SourceRef(
                pool=self.scan.pool,
                path=file.path,
                size=file.size,
                digest=file.digest,
                wrapping=file.wrapping,
                layout=file.layout,
                samples=file.index.table.num_rows,
            )
            for file in self.files
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundAnnotation:
    """An annotation file or a table of weights, pinned."""

    node: Node
    path: str
    file: Path
    digest: str
    size: int

    @property
    def ref(self) -> AnnotationRef:
        """It, as a manifest or a lock pins it."""
        return AnnotationRef(path=self.path, size=self.size, digest=self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """A plan whose every input is pinned. `repeats` counts training samples that are the same as another one."""

    plan: Plan
    pools: tuple[BoundPool, ...]
    annotations: tuple[BoundAnnotation, ...]
    repeats: int


def bind(plan: Plan, workspace: Workspace, checked: CheckedRecipe, findings: Findings) -> BoundPlan:
    """Pins and indexes everything the plan reads."""
    digests = Digests(workspace)
    remote = Remote(workspace, digests)
    pools = []
    for node, scan in plan.select(nodes.Scan):
        pool = _Binder(workspace, checked, findings, digests, remote, node, scan, worded=wanted(plan)).bind()
        if pool is not None:
            pools.append(pool)
    annotations = []
    for node, source, at in plan.tables():
        path = workspace.root / source
        span = checked.span(*at)
        if is_remote(source):
            fetched = _fetched(remote, source)
            if isinstance(fetched, RecipeError):
                tell(fetched, source, findings, span)
                continue
            path = fetched
        elif not is_file(path):
            findings.error("resolve.no-files", f"`{source}` is not there", span)
            continue
        try:
            check_annotation(path, workspace.cache if is_remote(source) else workspace.root)
            digest, size = digests.of(path)
        except DataError as error:
            findings.error("resolve.unreadable", f"`{source}`: {error.reason}", span)
            continue
        annotations.append(BoundAnnotation(node=node, path=source, file=path, digest=digest, size=size))
    digests.save()
    repeats = 0 if findings.errors else count_repeats(workspace, pools)
    return BoundPlan(plan=plan, pools=tuple(pools), annotations=tuple(annotations), repeats=repeats)


def _fetched(remote: Remote, source: str) -> Path | RecipeError:
    """A remote table in the cache."""
    try:
        stat = remote.copies.stores.stat([source])[0]
        found = remote.fetch({source: stat}, source)[source]
    except RecipeError as error:
        return error
    return found if isinstance(found, RecipeError) else found.path


def count_repeats(workspace: Workspace, pools: Sequence[BoundPool]) -> int:
    """How many samples of the training pools are the same as another one."""
    train = [pool for pool in pools if pool.scan.role == "train"]
    facts = {"pools": [pool.digest for pool in train]}
    count: int = remember(workspace, "repeats", facts, partial(_repeats, train))
    return count


def _repeats(pools: Sequence[BoundPool]) -> int:
    _, distinct = rows.pool_digest(_ids([file for pool in pools for file in pool.files]))
    return sum(pool.samples for pool in pools) - distinct


def make_pool(
    workspace: Workspace,
    node: Node,
    scan: nodes.Scan,
    files: Sequence[BoundFile],
    *,
    preset: str,
    fields: Mapping[str, Any],
    why: str,
    missing_media: tuple[str, ...],
) -> BoundPool:
    """A pool of these files, with the digest of its samples."""
    samples = sum(file.index.table.num_rows for file in files)
    facts = {"indexes": [file.index.key for file in files]}
    digest, distinct = remember(workspace, "pools", facts, partial(_content, files))
    return BoundPool(
        scan=scan,
        node=node,
        files=tuple(files),
        preset=preset,
        fields=fields,
        why=why,
        missing_media=missing_media,
        samples=samples,
        digest=digest,
        repeats=distinct < samples,
    )


def _content(files: Sequence[BoundFile]) -> tuple[str, int]:
    """The digest of a pool's samples, and how many different ones there are."""
    return rows.pool_digest(_ids(files))


def _ids(files: Sequence[BoundFile]) -> NDArray[np.void]:
    halves = ("id_high", "id_low")
    return rows.joined_ids(*(np.concatenate([rows.cells(file.index.table, name) for file in files]) for name in halves))


def check_annotation(path: Path, root: Path) -> None:
    """Raises `DataError` where a table of scores reaches out of the root, or would take memory out of proportion."""
    if leads_out(path, root):
        raise DataError(str(path), "a link that leads out of the root")
    scanning.check_table(path)


class _Binder:
    """Binds one pool."""

    def __init__(
        self,
        workspace: Workspace,
        checked: CheckedRecipe,
        findings: Findings,
        digests: Digests,
        remote: Remote,
        node: Node,
        scan: nodes.Scan,
        *,
        worded: bool,
    ) -> None:
        self.workspace = workspace
        self.checked = checked
        self.findings = findings
        self.digests = digests
        self.remote = remote
        self.stats: dict[str, Stat] = {}
        self.node = node
        self.scan = scan
        self.worded = worded

    def bind(self) -> BoundPool | None:
        names = self.names()
        if names is None:
            return None
        streams = self.streams(names)
        mapping = None if streams is None else self.mapping(streams)
        if streams is None or mapping is None:
            return None
        preset, fields, why = mapping
        files = []
        total, done = sum(size for _, _, size, _, _ in streams), 0
        for name, digest, size, wrapping, (stream, layout) in streams:
            self.workspace.progress(f"index {self.scan.pool}", done, total)
            index = worded_file(self.workspace, stream, digest=digest, layout=layout, fields=fields, worded=self.worded)
            pinned = BoundFile(
                path=name, size=size, digest=digest, wrapping=wrapping, layout=layout, stream=stream, index=index
            )
            files.append(pinned)
            done += size
        self.workspace.progress(f"index {self.scan.pool}", total, total)
        self.tell_malformed(files)
        return make_pool(
            self.workspace,
            self.node,
            self.scan,
            files,
            preset=preset,
            fields=fields,
            why=why,
            missing_media=self.missing_media(files),
        )

    def names(self) -> list[str] | None:
        """The pool's files in the order of their names' bytes, or None where a pattern names none."""
        found: set[str] = set()
        for position, pattern in enumerate(self.scan.source):
            span = self.checked.item_span(*self.node.at, "source", position)
            try:
                if is_remote(pattern):
                    self.stats.update(listed := self.remote.listed(pattern))
                    matched = set(listed)
                else:
                    matched = list_files(self.workspace.root, pattern)
            except RecipeError as error:
                if not is_remote(pattern):
                    self.findings.error("resolve.unreadable", str(error), span)
                else:
                    tell(error, pattern, self.findings, span)
                return None
            except (ValueError, NotImplementedError) as error:
                self.findings.error("resolve.unreadable", str(error), span)
                return None
            if not matched:
                root = self.workspace.root.resolve().name
                way_out = "" if is_remote(pattern) else f"paths are relative to {root}/"
                self.findings.error("resolve.no-files", f"`{pattern}` matches no file", span, help=way_out)
                return None
            found |= matched
        return sorted(found, key=lambda name: name.encode())

    def streams(self, names: list[str]) -> list[tuple[str, str, int, str, tuple[Path, Any]]] | None:
        """Each file's digest, size, wrapping, record stream and layout."""
        found = []
        span = self.checked.span(*self.node.at, "source")
        copies = self.remote.fetch(self.stats, self.scan.pool)
        for name in names:
            copy = copies.get(name)
            if isinstance(copy, RecipeError):
                tell(copy, name, self.findings, span)
                continue
            path = self.workspace.root / name if copy is None else copy.path
            try:
                digest, size = self.digests.of(path)
                wrapping = scanning.wrapping(path)
                stream = record_stream(path, digest=digest, wrapping=wrapping, cache=self.workspace.cache)
                found.append(
                    (name, digest, size, wrapping, (stream, self.layout(PurePosixPath(name).name, stream, digest)))
                )
            except (DataError, OSError) as error:
                reason = error.reason if isinstance(error, DataError) else error.strerror
                self.findings.error("resolve.unreadable", f"`{name}`: {reason}", span)
        return found if len(found) == len(names) else None

    def layout(self, name: str, stream: Path, digest: str) -> Any:
        scan = self.scan
        facts = {
            "digest": digest,
            "name": Path(name).suffixes[-2:],
            "hint": scan.hint,
            "format": scan.format,
            "fields": scan.fields,
        }
        return remember(
            self.workspace,
            "layouts",
            facts,
            lambda: scanning.layout(name, stream, hint=scan.hint, preset=scan.format, fields=scan.fields),
        )

    def mapping(self, streams: list[tuple[str, str, int, str, tuple[Path, Any]]]) -> tuple[str, Any, str] | None:
        """(preset, mapping, why), from the first file that holds records."""
        scan = self.scan
        reason = ""
        for name, digest, _, _, (stream, layout) in streams:
            facts = {"digest": digest, "layout": layout, "format": scan.format, "fields": scan.fields}
            try:
                preset, fields, why = remember(
                    self.workspace,
                    "mappings",
                    facts,
                    partial(scanning.detect, stream, layout=layout, preset=scan.format, fields=scan.fields),
                )
            except DataError as error:
                reason = reason or f"`{name}`: {error.reason}"
                continue
            return preset, fields, why
        span = self.checked.span(*self.node.at, "fields" if scan.fields else "source")
        headline, _, way_out = reason.partition("; say what")
        self.findings.error(
            "resolve.no-preset",
            headline,
            span,
            help=f"say what{way_out}, for example `fields: {{user: question, assistant: answer}}`" if way_out else "",
        )
        return None

    def tell_malformed(self, files: list[BoundFile]) -> None:
        bad = [(file, record) for file in files for record in file.index.malformed]
        if not bad:
            return
        shown = 5
        records = [self.record_place(file, record) for file, record in bad[:shown]]
        notes = []
        if len(bad) > shown:
            notes.append(f"and {len(bad) - shown:,} more; `recipe index --format json` lists them all")
        strangers = [file.path for file in files if file.index.malformed and file.index.table.num_rows == 0]
        if strangers and len(strangers) < len(files):
            notes.append(f"no record of {strangers[0]} fits: give files of another shape a pool of their own")
        good = sum(file.index.table.num_rows for file in files)
        noun = "record" if len(bad) == 1 else "records"
        headline = f"pool `{self.scan.pool}`: {len(bad):,} malformed {noun} beside {good:,} good ones"
        if len(bad) > self.scan.max_malformed:
            span = self.checked.key_span(*self.node.at)
            way_out = f"mend the data, or allow for them with `max_malformed: {len(bad)}`"
            self.findings.error("resolve.malformed", headline, span, records=records, notes=notes, help=way_out)
        else:
            self.findings.warn("note.malformed", headline, records=records, notes=notes)

    def record_place(self, file: BoundFile, record: scanning.Malformed) -> RecordPlace:
        """A record as people look for it: its number from 1, and how it begins."""
        begins = read_at(file.stream, record.offset, _EXCERPT).decode(errors="replace")
        # A line is a record of its own, or the beginning of one; JSON may be written on many lines.
        by_line = file.layout["shape"] in ("json-lines", "delimited")
        shown = begins.split("\n", 1)[0].rstrip("\r") if by_line else " ".join(begins.split())
        excerpt = "".join(letter if letter.isprintable() else " " for letter in shown)
        return RecordPlace(
            file=file.path if file.wrapping == "plain" else f"{file.path} (unwrapped)",
            record=record.record + 1,
            offset=record.offset,
            reason=record.reason,
            excerpt=excerpt,
        )

    def missing_media(self, files: list[BoundFile]) -> tuple[str, ...]:
        """The references whose samples are left out. Where no folder is named, media are looked for below the root."""
        scan = self.scan
        if scan.missing_media == "keep":
            return ()
        wanted, folder = media.references([file.index.table for file in files]), scan.media or "."
        span = self.checked.span(*self.node.at, "media")
        if is_remote(folder):
            present = self.media_listed(folder)
            if present is None:
                return ()
            gone = media.missing_among(present, wanted)
        elif not (self.workspace.root / folder).is_dir():
            self.findings.error("resolve.no-media", f"the folder `{folder}` is not there", span)
            return ()
        else:
            gone = media.missing(self.workspace.root, folder, wanted)
        if not gone:
            return ()
        noun = "file" if len(gone) == 1 else "files"
        where = f"below `{folder}`" if scan.media else "below the root, and no `media` names their folder"
        headline = f"pool `{scan.pool}`: {len(gone):,} media {noun} missing {where}"
        notes = [
            f"{scan.media}/{reference}{why}" if scan.media else reference for reference, why in list(gone.items())[:3]
        ]
        notes += ["…"] if len(gone) > 3 else []
        if scan.missing_media == "drop":
            self.findings.warn("note.media", headline, notes=notes)
            return tuple(gone)
        if scan.media:
            way_out = "bring them, or leave their samples out with `missing_media: drop`"
            self.findings.error("resolve.missing-media", headline, span, notes=notes, help=way_out)
        else:
            way_out = (
                "name it with `media: FOLDER`; or say `missing_media: drop`, or `keep` where nobody will look at them"
            )
            key = self.checked.key_span(*self.node.at)
            self.findings.warn("note.media-folder", headline, key, notes=notes, help=way_out)
        return ()

    def media_listed(self, folder: str) -> set[str] | None:
        """What stands below a remote media folder, or None where its store does not say, and that was told."""
        span = self.checked.span(*self.node.at, "media")
        if not is_web(folder):
            try:
                return self.remote.copies.stores.below(folder)
            except RecipeError as error:
                tell(error, folder, self.findings, span)
                return None
        headline = (
            f"pool `{self.scan.pool}`: a web server lists no files, so the media below `{folder}` are not looked at"
        )
        way_out = "say so with `missing_media: keep`"
        if self.scan.missing_media == "drop":
            self.findings.error("resolve.no-media", headline, span, help=way_out)
        else:
            self.findings.warn("note.unlisted", headline, span, help=way_out)
        return None
