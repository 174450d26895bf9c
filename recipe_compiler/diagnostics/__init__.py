"""What we tell people about their input: values here, text in `render`."""

from recipe_compiler.diagnostics.diagnostic import Diagnostic, Edit, Findings, Place, RecordPlace, Rejected
from recipe_compiler.diagnostics.span import SourceText, Span

__all__ = ["Diagnostic", "Edit", "Findings", "Place", "RecordPlace", "Rejected", "SourceText", "Span"]
