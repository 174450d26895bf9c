"""A small recipe that several files of tests run commands on, and how what they print is compared."""

from __future__ import annotations

import re

from tests.support import Ran

RECIPE = """\
recipe: 1
name: mix
version: "1.0"
seed: 7
pools:
  general: {source: data/general.jsonl, group: general}
  ocr: {source: data/ocr.jsonl, group: ocr}
select: {budget: {count: 5}, method: stratified, by: pool}
stages:
  - {name: first, where: group == "general"}
  - {name: second, replay: {first: 50%}}
"""


def shown(text: str) -> str:
    """Text with two things taken out: digests, whose values other tests pin, and the spaces that pad tables."""
    lines = re.sub(r"\b[0-9a-f]{12,}\b", "<digest>", text).split("\n")
    return "\n".join(line.rstrip() for line in lines)


def expect(ran: Ran, code: int, out: str = "", err: str = "") -> None:
    """Compares all that a command printed."""
    assert (ran.code, shown(ran.out), shown(ran.err)) == (code, out, err)
