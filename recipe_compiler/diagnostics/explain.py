"""What a code means, with a recipe that raises it and the same recipe mended: from the pages in `explanations`.

The pages are part of the specification of the language, and every one of their examples is a test.
"""

from __future__ import annotations

import re
from importlib import resources

from recipe_compiler.diagnostics.codes import CODES

_BLOCK = re.compile(r"^```(?P<info>\S[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def explanation(code: str) -> str:
    """The explanation of a code, as text for a terminal. An unknown code raises `KeyError`."""
    summary = CODES[code]
    page = resources.files(__package__) / "explanations" / f"{code.partition('.')[0]}.md"
    section = page.read_text(encoding="utf-8").partition(f"\n## {code}\n")[2].partition("\n## ")[0]
    return f"{code}: {summary}\n\n{_BLOCK.sub(_plain, section).strip()}\n"


def _plain(block: re.Match[str]) -> str:
    match block["info"].split():
        case ["yaml"]:
            lead = "This recipe"
        case ["diagnostic"]:
            lead = "is told"
        case ["yaml", "mended"]:
            lead = "Mended:"
        case info:
            lead = f"With {info[-1]}:"
    body = "".join(f"    {line}".rstrip() + "\n" for line in block["body"].splitlines())
    return f"{lead}\n\n{body}".rstrip("\n")
