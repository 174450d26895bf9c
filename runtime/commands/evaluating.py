"""Answers to the questions of a manifest, by a model or made elsewhere, and their scores as plain JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from recipe_compiler.errors import PackageMissing
from recipe_compiler.kernels import digest_file
from recipe_compiler.manifest import store
from recipe_compiler.manifest.rows import cells
from runtime.capabilities import Capabilities, Levels
from runtime.evaluate.bootstrap import COVERAGE, RESAMPLES
from runtime.evaluate.lmms import export
from runtime.evaluate.metrics import Choice
from runtime.evaluate.predictions import VERSION, Header, Prediction, RunFile, read_foreign, read_run
from runtime.evaluate.questions import Questions
from runtime.evaluate.scores import gather, table
from runtime.reader import Reader

#: (what, done, total): as the command line shows it.
Progress = Callable[[str, int, int], None]
_AT_ONCE = 4096


def questions_of(
    folder: Path, metrics: Sequence[str], *, levels: Levels | None = None, root: Path | None, cache: Path | None
) -> Questions:
    """The questions of a manifest, by which metrics they are judged, and which capabilities they ask for."""
    reader = Reader(folder, root=root, cache=cache)
    capabilities = None if levels is None else Capabilities(levels)
    return Questions(reader, Choice.parse(tuple(metrics), reader.manifest.pools), capabilities)


def answer(
    model_folder: Path,
    questions: Questions,
    out: Path,
    *,
    metrics: Sequence[str],
    batch: int,
    max_new_tokens: int,
    video_frames: int | None = None,
    progress: Progress,
) -> int:
    """Has a model answer what is not answered yet, and writes the run. How many draws had been answered before.

    Under `torchrun` every rank calls it: ranks answer one batch each, and the first one writes them in order. Batches are
    those of a run alone, so that the answers are.
    """
    try:
        from runtime.evaluate.model import Model
        from runtime.train.ranks import joined
    except ModuleNotFoundError as error:
        raise PackageMissing(error.name or "torch", "train") from None
    settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "metrics": sorted(metrics)}
    if video_frames is not None:
        settings["video_frames"] = video_frames
    with joined("auto") as ranks, ExitStack() as stack:
        model = Model.load(model_folder, video_frames=video_frames)
        run = None
        if ranks.leads:
            run = stack.enter_context(closing(RunFile(out, _header(questions, model.digest, settings))))
        (had,) = ranks.gathered([] if run is None else [run.done])
        for start in range(had, len(questions), batch * ranks.world.num_ranks):
            first = start + batch * ranks.world.rank
            asked = [questions[position] for position in range(first, min(first + batch, len(questions)))]
            answers = model.answer(asked, max_new_tokens=max_new_tokens) if asked else []
            told = [Prediction.of(question, text) for question, text in zip(asked, answers, strict=True)]
            told = ranks.gathered(told)
            if run is not None:
                run.append(told)
                progress("answering", run.done, len(questions))
    return int(had)


def judge(predictions: Path, questions: Questions, out: Path, *, metrics: Sequence[str], progress: Progress) -> None:
    """Judges predictions made elsewhere, and writes the run."""
    reader = questions.reader
    positions: dict[str, list[int]] = defaultdict(list)
    for shard in reader.manifest.shards:
        ids = cells(store.read_shard(reader.folder, shard), "sample_id")
        for position, sample_id in enumerate(ids, shard.start):
            positions[bytes(sample_id).hex()].append(position)
    answers = read_foreign(predictions, len(questions), positions)
    settings = {"predictions": digest_file(predictions), "metrics": sorted(metrics)}
    with closing(RunFile(out, _header(questions, "", settings))) as run:
        while run.done < len(questions):
            stop = min(run.done + _AT_ONCE, len(questions))
            run.append([Prediction.of(questions[place], answers[place]) for place in range(run.done, stop)])
            progress("judging", run.done, len(questions))


def _header(questions: Questions, model: str, settings: dict[str, Any]) -> Header:
    manifest = questions.reader.manifest
    if questions.capabilities is not None:
        settings["capabilities"] = questions.capabilities.identity
    return Header(
        evaluation=VERSION,
        manifest=manifest.ids.manifest,
        draws=manifest.draws,
        pools={pool.name: {"group": pool.group, "category": pool.category} for pool in manifest.pools},
        model=model,
        settings=settings,
    )


def scored(run: Path, *, seed: int) -> dict[str, Any]:
    """The scores of a whole run."""
    header, predictions = read_run(run)
    return {
        "manifest": header.manifest,
        "model": header.model or None,
        "settings": dict(header.settings),
        "interval": {"coverage": COVERAGE, "resamples": RESAMPLES, "seed": seed, "by": "percentile bootstrap"},
        "rows": table(gather(header, predictions), seed=seed),
    }


def export_lmms(
    questions: Questions, out: Path, *, name: str | None, max_new_tokens: int
) -> tuple[str, dict[str, dict[str, int]]]:
    """Writes tasks of lmms-eval: the name of their group, and how many questions each has and leaves out."""
    named = name or questions.reader.manifest.name
    counts = export(questions, out, name=named, max_new_tokens=max_new_tokens)
    return named, {task: {"exported": kept, "unscored": left} for task, (kept, left) in counts.items()}
