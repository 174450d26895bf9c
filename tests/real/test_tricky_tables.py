"""TRICKY_CASES.md as two tables: what is read right away, and what is refused with the file named and a way out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.real.reading import bind_one, ids, needs_data, recipe_of, sample
from tests.real.tricky import CAPTION, CUT_OFF, ROLEPLAY, SCORES, TSV, VQA_ARCHIVE, ZH, said
from tests.support import SHARED_DATA, rejected, run_recipe

pytestmark = needs_data

EXTRA = "text_alpaca_52k_en_zh/其他中文问题补充/"
VISDIAL = "conv_visdial/visdialconv/visdial_1.0_val_crowdsourced.json.gz"
ENTRIES = {"key": "__key", "assistant": "value"}


# What is read right away: the number of samples, how it was read, and words of the first one


@dataclass(frozen=True, slots=True)
class Reads:
    case: str
    source: str
    samples: int
    shape: str
    preset: str
    words: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


READS = [
    Reads("1 the clean one", f"{SCORES}full_score_data.json.gz", 3439, "json-array", "fields", settings=CAPTION),
    Reads(
        "3 full-width brackets in a name",
        f"{ZH}alpaca_data-6382-9407-\uff08jlh\uff09中文-已完成.json.gz",
        3022,
        "json-array",
        "alpaca",
        "列举两个网络浏览器的例子。",
    ),
    Reads(
        "4 spaces and brackets in a name",
        "bench_mmmu/gpt-4o_standard(10 options)_direct.jsonl.gz",
        1730,
        "json-lines",
        "qa",
        "Which of the following best explains",
    ),
    Reads("5 JSON Lines in .json", "bench_pope/coco/*.json.gz", 9000, "json-lines", "qa", "Is there a snowboard"),
    Reads(
        "6 CRLF in quoted CSV",
        "screen_annotation/valid.csv.gz",
        2311,
        "delimited",
        "fields",
        "PICTOGRAM three bars 0 132 30 109",
        {"fields": {"key": "screen_id", "assistant": "screen_annotation"}},
    ),
    Reads(
        "6 CRLF in JSON Lines",
        "bench_text/WizardLM_testset.jsonl",
        218,
        "json-lines",
        "fields",
        "If a car travels 120 miles",
        {"fields": {"user": "Instruction"}},
    ),
    Reads(
        "6 CRLF, no final newline",
        "qa_vsr/data_files/meta_data.csv",
        67,
        "delimited",
        "fields",
        "Chinese",
        {"fields": {"key": "id", "user": "First Language", "assistant": "Student Status?"}},
    ),
    Reads(
        "7 a blank line",
        "text_llamafactory_demo/v1_multimodal_demo.jsonl",
        24,
        "json-lines",
        "openai",
        "Who are they?",
    ),
    Reads("8 headerless TSV", "text_cot_misc/origin_cot_data/*.tsv.gz", 9215, "delimited", "fields", "\\n", TSV),
    Reads(
        "9 one record of 3.3 MB",
        "sci_scienceqa/ocrs.json.gz",
        10332,
        "json-object",
        "fields",
        "[([[307, 253],",  # Python's way of writing a list, kept as it is
        {"records": "texts", "fields": ENTRIES},
    ),
    Reads(
        "9 one record of 0.67 MB",
        "sci_scienceqa/captions.json.gz",
        10332,
        "json-object",
        "fields",
        "An aerial view",
        {"records": "captions", "fields": ENTRIES},
    ),
    Reads(
        "9 one record of 1.06 MB",
        "bench_mathvista/captions_bard.json.gz",
        930,
        "json-object",
        "fields",
        "free body diagram",
        {"records": "texts", "fields": ENTRIES},
    ),
    Reads("12 Parquet with a list", "bench_videomme/*.parquet", 2700, "json-lines", "qa", "modern Christmas tree"),
    Reads(
        "13 a folder a sample",
        "qa_iconqa/examples/*/*/data.json",
        150,
        "json-record",
        "qa",
        "Which is shaped like a cone?\nA. choice_0.png\nB. choice_1.png",
    ),
    Reads(
        "14 a table of questions",
        VISDIAL,
        45237,
        "json-array",
        "fields",
        "does the shower have a glass door",
        {"records": "data.questions", "fields": {"user": "value"}},
    ),
    Reads("15 any type of answer", "math_theoremqa/theoremqa_test.json.gz", 800, "json-array", "qa", "How many ways"),
    Reads("16 text or list", "ocr_multimodalocr/OCRBench.json.gz", 1000, "json-array", "qa", "what is written"),
    Reads(
        "18 a list as text",
        "bench_mmmu/gpt-4o_vision_direct.jsonl.gz",
        1730,
        "json-lines",
        "qa",
        "\n['Political instability leading to population decline', ",
    ),
    Reads("19 an optional image", "sci_scienceqa/bunny_test_CQM-A.json.gz", 4241, "json-array", "llava", "Sing, O"),
    Reads("19 no answers", "doc_docvqa/test.jsonl.gz", 5188, "json-lines", "prompt", "dividend payout in 2012"),
    Reads("19 optional columns", f"{EXTRA}代码问题.json.gz", 9057, "json-array", "alpaca", "Scratch 3.0"),
    Reads(
        "19 a column of one row",
        "text_gpteacher/Toolformer/toolformer-dedupe-only-dataset.json.gz",
        7673,
        "json-array",
        "alpaca",
        "toolformer: enabled",
    ),
    Reads(
        "22 residue of a template", "bench_mmmu/mmmu_val.json.gz", 900, "json-object", "qa", "[UNUSED_TOKEN_146]user"
    ),
    Reads("23 placeholders", "text_llamafactory_demo/identity.json", 91, "json-array", "alpaca", "{{name}}"),
    Reads("23 placeholders", "text_llamafactory_demo/v1_sft_demo.jsonl.gz", 500, "json-lines", "openai", "{{author}}"),
    Reads("24 ids that are all -1", "chart_chartqa/mova_test_all.jsonl.gz", 2500, "json-lines", "qa"),
    Reads("30 many images", "conv_mantis_chat/chat/train.json.gz", 100, "json-array", "llava", "Walgreens"),
    Reads("30 frames", "conv_mantis_chat/classification/train.json.gz", 100, "json-array", "prompt", "judging"),
]


@pytest.mark.parametrize("reads", READS, ids=lambda reads: reads.case)
def test_it_is_read(reads: Reads, tmp_path: Path) -> None:
    pool = bind_one(tmp_path, reads.source, **reads.settings)
    assert not [file.path for file in pool.files if file.index.malformed]
    assert (len(ids(pool)), pool.preset) == (reads.samples, reads.preset)
    assert {file.layout["shape"] for file in pool.files} == {reads.shape}
    assert reads.words in "\n".join(
        part["text"]
        for message in sample(tmp_path, pool)["messages"]
        for part in message["content"]
        if part["type"] == "text"
    )


# What is refused: words that tell the file and what to do


@dataclass(frozen=True, slots=True)
class Refuses:
    case: str
    source: str
    code: str
    words: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


REFUSES = [
    Refuses(
        "1 GB18030",
        f"{SCORES}gpt4_score_new.json.gz",
        "resolve.malformed",
        ("240 malformed", "3,199 good", "not UTF-8", "iconv -f GB18030 -t UTF-8"),
        CAPTION,
    ),
    Refuses(
        "1 one broken character",
        f"{SCORES}gpt_final_score.json.gz",
        "resolve.malformed",
        ("1 malformed", "record 934, byte 445,489", "byte 110 (0xe2)", "not UTF-8", "max_malformed: 1"),
        CAPTION,
    ),
    Refuses(
        "2 cut off",
        CUT_OFF,
        "resolve.malformed",
        ("1 malformed", "2,801 good", "line 14007", "mend the data", "max_malformed: 1"),
    ),
    Refuses("7 bare NaN, by `auto`", "bench_mathvista/annot_testmini.json.gz", "resolve.no-preset", ("NaN",)),
    Refuses(
        "7 bare NaN",
        "bench_mathvista/annot_testmini.json.gz",
        "resolve.malformed",
        ("2 malformed", "998 good", "bare NaN", "write null"),
        {"records": "*", "fields": {"key": "__key", "user": "__key"}},
    ),
    Refuses(
        "8 headerless TSV without `header`",
        "text_cot_misc/origin_cot_data/qasc_train.tsv.gz",
        "resolve.no-preset",
        ("`(D)` (text)", "fields:"),
    ),
    Refuses(
        "9 texts under a key", "sci_scienceqa/ocrs.json.gz", "resolve.no-preset", ("`texts` (an object)", "fields:")
    ),
    Refuses("10 YAML", f"{ROLEPLAY}.yaml.gz", "resolve.unreadable", ("convert",)),
    Refuses("11 JSON Lines in a tar", VQA_ARCHIVE, "resolve.no-preset", ("jsonl", "unpack")),
    Refuses("11 zip", "math_geometry3k/logic_forms.zip", "resolve.unreadable", ("zip archive", "unpack it")),
    Refuses("12 xlsx", "bench_mmstar/*.xlsx", "resolve.unreadable", ("spreadsheet", "save the sheet as CSV")),
    Refuses("12 xlsx", "bench_mmbench/*.xlsx", "resolve.unreadable", ("spreadsheet", "save the sheet as CSV")),
    Refuses("14 normalised tables", VISDIAL, "resolve.no-preset", ("`data` (an object)", "fields:")),
    Refuses(
        "14 a table that is not there",
        VISDIAL,
        "resolve.unreadable",
        ("`data.dialogue`", "`version`, `split`, `data`"),
        {"records": "data.dialogue", "fields": {"user": "value"}},
    ),
    Refuses(
        "20 text for scores",
        f"{SCORES}gpt4_score_new.json.gz",
        "resolve.no-preset",
        ("`gpt_score` (text)", "fields:"),
    ),
    Refuses(
        "29 missing images",
        "sci_scienceqa/bunny_test_CQM-A.json.gz",
        "resolve.missing-media",
        ("1,785 media files missing", "sci_scienceqa/images/test/10001/image.png", "missing_media: drop"),
        {"media": "sci_scienceqa/images/test"},
    ),
    Refuses(
        "29 a folder that is not there",
        "math_theoremqa/theoremqa_test.json.gz",
        "resolve.no-media",
        ("`math_theoremqa/pictures` is not there",),
        {"media": "math_theoremqa/pictures"},
    ),
]


@pytest.mark.parametrize("refuses", REFUSES, ids=lambda refuses: refuses.case)
def test_it_is_refused_in_words(refuses: Refuses, tmp_path: Path) -> None:
    pool = {"source": refuses.source, **refuses.settings}
    errors = rejected(tmp_path, recipe_of({"tricky": pool}), root=SHARED_DATA)
    assert [error.code for error in errors] == [refuses.code]
    told = said(errors)
    if refuses.code not in ("resolve.missing-media", "resolve.no-media"):
        assert re.sub(r".*\*", "", refuses.source) in told
    for word in refuses.words:
        assert word in told, told


@pytest.mark.parametrize(
    "refuses", [REFUSES[position] for position in (0, 2, 3, 8, 9, 15)], ids=lambda refuses: refuses.case
)
def test_the_command_refuses_it_too(refuses: Refuses, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_of({"tricky": {"source": refuses.source, **refuses.settings}}), encoding="utf-8")
    ran = run_recipe("plan", recipe, "--root", SHARED_DATA, "--cache", tmp_path / "cache", cwd=tmp_path)
    assert ran.code == 1
    assert "Traceback" not in ran.err + ran.out
    assert f"error[{refuses.code}]" in ran.err
