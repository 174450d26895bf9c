"""One thing to tell, and the list in which a stage collects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from recipe_compiler.diagnostics.codes import CODES
from recipe_compiler.diagnostics.span import Span
from recipe_compiler.errors import RecipeError

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Place:
    """Another part of a recipe that matters, and why."""

    span: Span
    label: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The mended text of a part of a recipe."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlace:
    """A record of a data file: its number from 1, the byte it begins at, what is wrong, and how it begins."""

    file: str
    record: int
    offset: int
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A headline that stands alone, where it is about, and a way out."""

    code: str
    headline: str
    severity: Severity = "error"
    span: Span | None = None
    label: str = ""
    places: tuple[Place, ...] = ()
    records: tuple[RecordPlace, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = ""
    mended: Edit | None = None

    def __post_init__(self) -> None:
        assert self.code in CODES, self.code


#: No one reads more, and a hostile recipe could ask for a million of them.
_ENOUGH = 64
_LONGEST = 600


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(slots=True)
class Findings:
    """What the stages found so far. A stage goes on where it can; the pipeline stops between stages."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(
        self,
        code: str,
        headline: str,
        span: Span | None = None,
        *,
        label: str = "",
        places: Sequence[Place] = (),
        records: Sequence[RecordPlace] = (),
        notes: Sequence[str] = (),
        help: str = "",
        mended: Edit | None = None,
    ) -> None:
        """Records something that makes the recipe or its data unusable. After many such things, that is enough."""
        told = [_cut(note) for note in notes]
        self.diagnostics.append(
            Diagnostic(
                code=code,
                headline=_cut(headline),
                span=span,
                label=label,
                places=tuple(places),
                records=tuple(records),
                notes=tuple(told),
                help=_cut(help),
                mended=mended,
            )
        )
        if len(self.diagnostics) >= _ENOUGH:
            self.stop_if_errors()

    def warn(
        self,
        code: str,
        headline: str,
        span: Span | None = None,
        *,
        records: Sequence[RecordPlace] = (),
        notes: Sequence[str] = (),
        help: str = "",
    ) -> None:
        """Records something worth knowing."""
        self.diagnostics.append(
            Diagnostic(
                code=code,
                headline=headline,
                severity="warning",
                span=span,
                records=tuple(records),
                notes=tuple(notes),
                help=help,
            )
        )

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that stop the pipeline."""
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def stop_if_errors(self) -> None:
        """Raises `Rejected` if anything so far is an error."""
        if self.errors:
            raise Rejected(self)


class Rejected(RecipeError):
    """The recipe or its data cannot be compiled; the findings say why."""

    def __init__(self, findings: Findings) -> None:
        super().__init__("; ".join(diagnostic.headline for diagnostic in findings.errors))
        self.findings = findings
