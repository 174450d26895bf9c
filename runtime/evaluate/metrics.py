"""The metrics by name, and which of them judges a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from recipe_compiler.manifest.schema import PoolRef
from runtime.errors import StreamError
from runtime.evaluate.choice import choice, meant
from runtime.evaluate.matching import anls, exact, normal, relaxed, vqa
from runtime.evaluate.verdict import Reference, Verdict
from runtime.evaluate.yesno import said, yesno

Metric: TypeAlias = Callable[[str, Reference], Verdict]

METRICS: Final[Mapping[str, Metric]] = {
    "exact": exact,
    "relaxed": relaxed,
    "anls": anls,
    "vqa": vqa,
    "choice": choice,
    "yesno": yesno,
}
#: Categories of pools whose benchmarks have a metric of their own.
_OF_CATEGORY = {"chart": "relaxed", "document": "anls"}
_TAG = "metric:"
#: As many people answer each question of VQA, TextVQA and VizWiz.
_PEOPLE = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """Which metric was asked for: `everywhere` (None is automatic), and by pool."""

    everywhere: str | None = None
    pools: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(asked: tuple[str, ...], pools: tuple[PoolRef, ...]) -> Choice:
        """From `auto`, `NAME` and `POOL=NAME`. Raises `StreamError` for a name that there is not."""
        everywhere, by_pool = None, {}
        for text in asked:
            pool, equals, name = text.rpartition("=")
            if name not in METRICS and name != "auto":
                raise StreamError(f"there is no metric `{name}`; there are {', '.join(METRICS)}, and auto")
            if not equals:
                everywhere = None if name == "auto" else name
            elif pool not in {ref.name for ref in pools}:
                raise StreamError(f"the manifest has no pool `{pool}`; it has {', '.join(ref.name for ref in pools)}")
            else:
                by_pool[pool] = name
        return Choice(everywhere, by_pool)

    def of(self, pool: PoolRef, reference: Reference) -> str | None:
        """The metric of a sample: asked for by pool, else everywhere, else the pool's tag `metric:NAME`, else `automatic`.

        None where that metric reads none of the references: no answer could be right.
        """
        asked = self.pools.get(pool.name) or self.everywhere
        asked = asked or next((tag.removeprefix(_TAG) for tag in pool.tags if tag.startswith(_TAG)), "auto")
        if asked != "auto" and asked not in METRICS:
            raise StreamError(f"pool `{pool.name}` has the tag `{_TAG}{asked}`; metrics are {', '.join(METRICS)}")
        name = automatic(pool.category, reference) if asked == "auto" else asked
        return name if any(_reads(name, gold, reference) for gold in reference.answers) else None


def _reads(name: str, gold: str, reference: Reference) -> bool:
    """Whether a metric can read a reference: what is compared as text is read as it is."""
    match name:
        case "choice":
            return meant(gold, reference.options) is not None
        case "yesno":
            return said(gold) is not None
        case _:
            return True


def automatic(category: str | None, reference: Reference) -> str:
    """`choice` where options are known and the reference means one, then by the pool's category (`chart`: `relaxed`,
    `document`: `anls`), `vqa` where there are ten references or more, `yesno` where all are yes or no, else `exact`."""
    if reference.options and any(meant(gold, reference.options) for gold in reference.answers):
        return "choice"
    if (named := _OF_CATEGORY.get((category or "").casefold())) is not None:
        return named
    if len(reference.answers) >= _PEOPLE:
        return "vqa"
    is_yes_or_no = reference.answers and all(normal(gold) in ("yes", "no") for gold in reference.answers)
    return "yesno" if is_yes_or_no else "exact"
