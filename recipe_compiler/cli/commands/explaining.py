"""Why: `explain`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import click
from click.shell_completion import CompletionItem

from recipe_compiler.cli.console import Voice
from recipe_compiler.cli.options import (
    MANIFEST_CACHE,
    MANIFEST_ROOT,
    at_hand,
    complete_files,
    manifest_workspace,
    speaking,
)
from recipe_compiler.diagnostics import Findings
from recipe_compiler.diagnostics.codes import CODES
from recipe_compiler.errors import RecipeError

if TYPE_CHECKING:
    from recipe_compiler.review.explain import Explainer

By: TypeAlias = Literal["id", "key", "media", "text"]


def _complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    codes = [CompletionItem(code) for code in CODES if typed and code.startswith(typed)]
    return codes or complete_files(context, parameter, typed)


@click.command()
@click.argument("what", shell_complete=_complete)
@click.argument("sample", required=False)
@click.option(
    "--by", type=click.Choice(["id", "key", "media", "text"]), help="How SAMPLE is named.  [default: any way]"
)
@click.option("--quota", metavar="NAME", help="Say what fills the quota of this name; `all` for every one.")
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=100),
    default=5,
    show_default=True,
    help="Explain at most this many samples.",
)
@MANIFEST_ROOT
@MANIFEST_CACHE
@speaking("text", "json", "concise")
def explain(
    what: str,
    sample: str | None,
    by: By | None,
    quota: str | None,
    limit: int,
    root: Path | None,
    cache: Path | None,
    *,
    voice: Voice,
) -> int:
    """Explain why a sample is in a manifest or out of it, or what a code of a diagnostic means.

    SAMPLE is a sample id (or its first digits), an upstream key, the path of an image, or a piece of text. With `-`, names
    are read from standard input, a line each, and answered one after another: the manifest is opened once.

    \b
    Examples:
      recipe explain model.wrong-type
      recipe explain releases/1.4 ocr-00042
      recipe explain releases/1.4 "What is the total" --by text
      recipe explain releases/1.4 images/0042.png
      recipe explain releases/1.4 --quota "capability.ocr >= 3"
      recipe explain releases/1.4 - < suspects.txt
    """
    if sample is None and quota is None:
        return _explain_code(what, voice)
    from recipe_compiler.report.explanation import quotas_shown
    from recipe_compiler.review.explain import Explainer

    folder = at_hand(what, root, cache)
    with manifest_workspace(folder, root, cache, voice) as place:
        explainer = Explainer(folder, place, Findings())
    if quota is not None:
        filled = explainer.quotas(None if quota == "all" else quota, limit=limit)
        document = {"quotas": [dataclasses.asdict(one) for one in filled]}
        voice.show(quotas_shown(filled), document, of_many=sample is not None)
    if sample == "-":
        num_unknown = 0
        for line in sys.stdin:
            if line.strip():
                try:
                    _show_samples(explainer, line.strip(), by, limit, voice, of_many=True)
                except RecipeError as error:
                    voice.fail(str(error))
                    num_unknown += 1
        return 1 if num_unknown else 0
    if sample is not None:
        _show_samples(explainer, sample, by, limit, voice, of_many=quota is not None)
    return 0


def _show_samples(explainer: Explainer, sample: str, by: By | None, limit: int, voice: Voice, *, of_many: bool) -> None:
    from recipe_compiler.report.explanation import document, shown

    answer = explainer.samples(sample, by=by, limit=limit)
    unread = _unread(answer.unread)
    explanations = answer.explanations
    if not explanations:
        raise RecipeError("; ".join([_none_found(sample, by), *unread]))
    documents = [document(explanation) for explanation in explanations]
    text = shown(explanations, more=answer.found - len(explanations))
    voice.show(text, {"found": answer.found, "samples": documents}, of_many=of_many)
    for line in unread:
        voice.say(line)


def _unread(paths: Sequence[str], most: int = 3) -> list[str]:
    """Says which files' texts were not looked into."""
    if not paths:
        return []
    listed = ", ".join([*paths[:most], *(["…"] if len(paths) > most else [])])
    return [f"not there as compiled, so their texts were not looked into: {listed}"]


def _none_found(sample: str, by: str | None) -> str:
    tried = {"id": "id", "key": "upstream key", "media": "media path", "text": "piece of text"}
    ways = tried[by] if by else "id, upstream key, media path or piece of text"
    hint = "; an id is named by its first 8 digits or more" if by == "id" and len(sample) < 8 else ""
    return f"no sample of any pool has `{sample}` as its {ways}{hint}"


def _explain_code(code: str, voice: Voice) -> int:
    from recipe_compiler.diagnostics.explain import explanation

    if code not in CODES:
        from recipe_compiler.model.check import closest

        meant = closest(code, CODES)
        if Path(code).is_file():
            raise RecipeError(f"{code} is no manifest; name the folder that `recipe compile` wrote, and a sample")
        if Path(code).is_dir():
            raise click.UsageError(f"say which sample of {code}: `recipe explain {code} SAMPLE`")
        hint = f"; did you mean `{meant}`?" if meant else f"; there are {', '.join(sorted(CODES))}"
        raise RecipeError(f"there is no code `{code}`{hint}")
    text = explanation(code)
    voice.show(text.rstrip(), {"code": code, "summary": CODES[code], "explanation": text})
    return 0
