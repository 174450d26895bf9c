"""`survey` and `write`: a folder of somebody's data -> a first recipe that compiles."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from recipe_compiler import scanning
from recipe_compiler.errors import DataError
from recipe_compiler.manifest.files import record_stream
from recipe_compiler.resolve import media
from recipe_compiler.resolve.index import index_file
from recipe_compiler.resolve.inventory import Digests
from recipe_compiler.resolve.workspace import Progress, Workspace

_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".tar")
_WRAPPINGS = ("", ".gz", ".zst")
#: File names that say nothing; their folder's name says more.
#: Media by which a folder is known.
_LOOKED_FOR = 50
_COMMON_NAMES = ("part", "shard", "chunk", "data", "train", "annotations", "index")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDraft:
    """A pool that can be read, and what is known of it."""

    name: str
    sources: tuple[str, ...]
    preset: str
    why: str
    samples: int
    malformed: int
    media: str | None
    missing_media: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a folder holds: pools, and files that were left out with the reason."""

    folder: Path
    pools: tuple[PoolDraft, ...]
    left_out: tuple[tuple[str, str], ...]


def survey(folder: Path, *, cache: Path, progress: Progress) -> Survey:
    """Looks at every data file below a folder. Shards (`part-00.jsonl`, `part-01.jsonl`) become one pool."""
    workspace = Workspace(root=folder, cache=cache, progress=progress)
    digests = Digests(workspace)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(piece.startswith(".") for piece in Path(name).parts)
        if not hidden and path.is_file() and name.endswith(tuple(e + w for e in _ENDINGS for w in _WRAPPINGS)):
            groups[re.sub(r"\d+(?=[^/]*$)", "*", name)].append(name)
    pools: list[PoolDraft] = []
    left_out: list[tuple[str, str]] = []
    for done, names in enumerate(groups.values()):
        progress("survey", done, len(groups))
        for part in _alike(workspace, digests, names):
            try:
                pools.append(_draft(workspace, digests, part, {pool.name for pool in pools}))
            except DataError as error:
                left_out.append((part[0], error.reason))
            except OSError as error:
                left_out.append((part[0], error.strerror or "cannot be read"))
    digests.save()
    return Survey(folder=folder, pools=tuple(pools), left_out=tuple(left_out))


def _alike(workspace: Workspace, digests: Digests, names: list[str]) -> list[list[str]]:
    """Numbered files that one mapping reads are shards of one pool; others, such as `answers1` and `2`, stand alone."""
    alone = [[name] for name in names]
    try:
        draft = _draft(workspace, digests, names, set())
    except (DataError, OSError):
        return alone
    return alone if len(names) > 1 and draft.malformed else [names]


def _draft(workspace: Workspace, digests: Digests, names: list[str], taken: set[str]) -> PoolDraft:
    mapping = None
    preset = why = ""
    tables, malformed = [], 0
    for name in names:
        path = workspace.root / name
        digest, _ = digests.of(path)
        wrapping = scanning.wrapping(path)
        stream = record_stream(path, digest=digest, wrapping=wrapping, cache=workspace.cache)
        layout = scanning.layout(path.name, stream, hint={}, preset="auto", fields={})
        if mapping is None:
            preset, mapping, why = scanning.detect(stream, layout=layout, preset="auto", fields={})
        index = index_file(workspace, stream, digest=digest, layout=layout, fields=mapping)
        tables.append(index.table)
        malformed += len(index.malformed)
    samples = sum(table.num_rows for table in tables)
    if samples == 0:
        raise DataError(names[0], "no record can be read as a sample")
    if preset == "prompt":
        raise DataError(names[0], "questions without answers; add it as a holdout if that is what it is")
    wanted = media.references(tables)
    folder, missing = _media_folder(workspace.root, (workspace.root / names[0]).parent, wanted)
    return PoolDraft(
        name=_pool_name(names[0], taken),
        sources=tuple(names),
        preset=preset,
        why=why,
        samples=samples,
        malformed=malformed,
        media=folder,
        missing_media=missing,
    )


def _media_folder(root: Path, beside: Path, wanted: set[str]) -> tuple[str | None, int]:
    """The folder where most of the media are, if any are, and how many are not there: beside the data, one level below, or
    the root. Few references tell where it is worth looking for all."""
    within = sorted(path for path in beside.iterdir() if path.is_dir() and not path.name.startswith("."))
    few = set(sorted(wanted)[:_LOOKED_FOR])
    places = [path.relative_to(root).as_posix() for path in (beside, *within, root)]
    gone = {
        place: len(media.missing(root, place, wanted))
        for place in places
        if len(media.missing(root, place, few)) < len(few)
    }
    if not gone:
        return None, len(wanted)
    best = min(gone, key=lambda place: gone[place])
    return best, gone[best]


def _pool_name(path: str, taken: set[str]) -> str:
    stem = Path(path).name.split(".")[0]
    base = re.sub(r"\W+", "_", re.sub(r"[-_]?\d+$", "", stem)).strip("_").lower() or "pool"
    parent = re.sub(r"\W+", "_", Path(path).parent.name).strip("_").lower()
    common = base in _COMMON_NAMES and parent
    for name in (parent if common else base, f"{parent}_{base}" if parent else base):
        if name not in taken:
            return name
    longest = f"{parent}_{base}" if parent else base
    return next(name for number in range(2, 10**6) if (name := f"{longest}_{number}") not in taken)


def write(found: Survey, target: Path, *, name: str | None) -> None:
    """Writes the recipe. Everything in it is what was found; the rest is left to defaults and shown as comments."""
    title = re.sub(r"[^\w.+-]+", "-", name or found.folder.resolve().name).strip("-.") or "mix"
    lines = [
        "# A first recipe, written by `recipe init` from what it saw. `recipe plan` shows what it does.",
        "recipe: 1",
        f"name: {_scalar(title)}",
        "seed: 0",
        "",
        "pools:",
    ]
    for pool in found.pools:
        lines += ["", f"  # {pool.samples:,} samples; {pool.why}", f"  {pool.name}:"]
        source = _scalar(pool.sources[0]) if len(pool.sources) == 1 else _list(pool.sources)
        lines += [f"    source: {source}", f"    format: {pool.preset}"]
        if pool.media is not None and pool.missing_media:
            lines += [f"    # {pool.missing_media:,} media files are missing below {pool.media}"]
            lines += [f"    media: {_scalar(pool.media)}", "    missing_media: drop"]
        elif pool.media is not None:
            lines += [f"    media: {_scalar(pool.media)}"]
        elif pool.missing_media:
            lines += [f"    # media: ...               # none of its {pool.missing_media:,} media files was found"]
        if pool.malformed:
            lines += [f"    max_malformed: {pool.malformed}"]
        lines += ["    # group: general            # general, reasoning or ocr, for `schedule: curriculum`"]
    lines += [
        "",
        "# dedup: {exact: true}",
        "",
        "# select:",
        "#   budget: {share: 30%}",
        "#   method: stratified",
        "#   by: pool",
        "",
        "schedule: mixed                  # or curriculum, balanced, reverse; or write your own `stages:`",
        "",
    ]
    target.write_text("\n".join(lines), encoding="utf-8")


def _scalar(text: str) -> str:
    """YAML takes a JSON string as it is; plain where that is safe."""
    return (
        text
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text) and text not in ("true", "false", "null")
        else json.dumps(text, ensure_ascii=False)
    )


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(_scalar(text) for text in texts) + "]"
