"""Names of files of TRICKY_CASES.md that several tests read, how some are to be read, and what diagnostics say."""

from __future__ import annotations

from typing import Any

from recipe_compiler.diagnostics import Diagnostic, render

ZH = "text_alpaca_52k_en_zh/翻译后的中文数据/"
CUT_OFF = f"{ZH}alpaca_data-9407-12345-中文-未完成.json.gz"
SCORES = "scores_instructiongpt4/"
ROLEPLAY = "text_gpteacher/Roleplay/roleplay-simple-deduped-roleplay-instruct"
VQA_ARCHIVE = "qa_vqav2_vizwiz_bench/bunny_vqav2_mscoco_test-dev2015.tar.gz"
TSV: dict[str, Any] = {"header": False, "fields": {"user": "c0", "assistant": ["c2", "c1"]}}
CAPTION: dict[str, Any] = {"fields": {"key": "image_id", "assistant": "caption"}}


def said(diagnostics: list[Diagnostic]) -> str:
    """Everything a reader of these diagnostics sees."""
    return render.full(diagnostics, colour=False)
