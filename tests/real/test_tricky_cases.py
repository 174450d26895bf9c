"""TRICKY_CASES.md, the cases that take more than a row of a table (`test_tricky_tables`). Nothing is lost."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from recipe_compiler.diagnostics import Rejected
from runtime.stream import ManifestDataset
from tests.real.reading import bind_one, bind_text, column, ids, keys, needs_data, recipe_of, sample, text
from tests.real.tricky import CAPTION, CUT_OFF, ROLEPLAY, SCORES, TSV, VQA_ARCHIVE, said
from tests.support import SHARED_DATA, compile_text, rejected, run_recipe, write_jsonl

pytestmark = needs_data

EN = "text_alpaca_52k_en_zh/原始英文数据/"


def load(name: str) -> Any:
    """A file as Python reads it."""
    path = SHARED_DATA / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return json.loads(data.decode("utf-8"))


def load_lines(name: str) -> list[Any]:
    path = SHARED_DATA / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.decode("utf-8").split("\n") if line.strip()]


def test_1_a_file_in_utf8_again_is_the_clean_one(tmp_path: Path) -> None:
    data = gzip.decompress((SHARED_DATA / SCORES / "gpt4_score_new.json.gz").read_bytes())
    (tmp_path / "scores.json").write_text(data.decode("gb18030"), encoding="utf-8")
    mended = bind_one(tmp_path, "scores.json", root=tmp_path, **CAPTION)
    clean = bind_one(tmp_path, f"{SCORES}full_score_data.json.gz", **CAPTION)
    assert (ids(mended), keys(mended)) == (ids(clean), keys(clean))


def test_2_a_cut_off_file_that_is_allowed_for_gives_what_it_has(tmp_path: Path) -> None:
    bound, findings = bind_text(tmp_path, recipe_of({"cut": {"source": CUT_OFF, "max_malformed": 1}}))
    assert len(ids(bound.pools[0])) == 2801
    assert "line 14007" in said(findings.diagnostics) and CUT_OFF in said(findings.diagnostics)


def test_5_and_6_no_carriage_return_gets_into_a_sample(tmp_path: Path) -> None:
    sources: list[tuple[str, dict[str, Any]]] = [
        ("bench_pope/coco/coco_pope_adversarial.json.gz", {}),
        ("bench_text/WizardLM_testset.jsonl", {"fields": {"user": "Instruction"}}),
        ("qa_vsr/data_files/meta_data.csv", {"fields": {"key": "id", "assistant": "Student Status?", "user": "id"}}),
        ("screen_annotation/valid.csv.gz", {"fields": {"key": "screen_id", "assistant": "screen_annotation"}}),
    ]
    for source, settings in sources:
        pool = bind_one(tmp_path, source, **settings)
        last = len(ids(pool)) - 1
        for position in (0, last // 2, last):
            assert "\\r" not in json.dumps(sample(tmp_path, pool, position)), source
    assert keys(pool)[0] == "11107"


def test_7_replacement_characters_are_data(tmp_path: Path) -> None:
    pool = bind_one(tmp_path, "text_llamafactory_demo/c4_demo.jsonl.gz", fields={"assistant": "text"})
    texts = [text(sample(tmp_path, pool, position), "assistant") for position in range(len(ids(pool)))]
    assert sum(found.count("\ufffd") for found in texts) == 15
    assert texts == [record["text"] for record in load_lines("text_llamafactory_demo/c4_demo.jsonl.gz")]


@pytest.mark.parametrize(
    ("name", "num", "quoted"),
    # Eight cells of strategyqa begin with a quotation mark, which the authors' own JSON lost.
    [("qasc", 1084, 0), ("sensemaking", 6070, 0), ("strategyqa", 2061, 8)],
)
def test_8_cells_of_a_headerless_tsv_are_as_they_stand(name: str, num: int, quoted: int, tmp_path: Path) -> None:
    source = f"text_cot_misc/origin_cot_data/{name}_train.tsv.gz"
    data = gzip.decompress((SHARED_DATA / source).read_bytes()).decode("utf-8")
    cells = [line.split("\t") for line in data.split("\n") if line]
    formatted = load(f"text_cot_misc/formatted_cot_data/{name}_train.json.gz")
    different = {}
    for quote in (False, True):
        pool = bind_one(tmp_path, source, quote=quote, **TSV)
        found = [sample(tmp_path, pool, position) for position in range(num)]
        pairs = [(text(content, "user"), text(content, "assistant")) for content in found]
        expected = [(question, f"{reason}\n{answer}") for question, answer, reason in cells]
        different[quote] = sum(pair != cell for pair, cell in zip(pairs, expected, strict=True))
        assert all(question in row["instruction"] for (question, _), row in zip(pairs, formatted, strict=True))
    assert different == {False: 0, True: quoted}


def test_9_a_whole_file_may_be_one_record(tmp_path: Path) -> None:
    pool = bind_one(tmp_path, "sci_scienceqa/ocrs.json.gz", fields={"key": "model", "user": "url"})
    assert (len(ids(pool)), column(pool, "length")[0] > 3_300_000) == (1, True)
    assert text(sample(tmp_path, pool), "user") == load("sci_scienceqa/ocrs.json.gz")["url"]


def test_10_a_yaml_file_made_json_lines_is_its_json_twin(tmp_path: Path) -> None:
    data = gzip.decompress((SHARED_DATA / f"{ROLEPLAY}.yaml.gz").read_bytes())
    write_jsonl(tmp_path / "roleplay.jsonl", yaml.load(data, Loader=yaml.CSafeLoader))
    converted = ids(bind_one(tmp_path, "roleplay.jsonl", root=tmp_path))
    assert len(converted) == 1923
    assert converted == ids(bind_one(tmp_path, f"{ROLEPLAY}.json.gz"))


def test_11_an_archive_unpacked_is_all_there(tmp_path: Path) -> None:
    with tarfile.open(SHARED_DATA / VQA_ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    pool = bind_one(tmp_path, "*.jsonl", root=tmp_path, format="prompt")
    assert len(ids(pool)) == 107394


def test_12_options_that_have_letters_get_no_second_ones(tmp_path: Path) -> None:
    pool = bind_one(tmp_path, "bench_videomme/*.parquet")
    options = text(sample(tmp_path, pool), "user").split("\n")[1:]
    assert options == ["A. Apples.", "B. Candles.", "C. Berries.", "D. The three kinds are of the same number."]


def test_13_all_three_kinds_of_question_are_answered(tmp_path: Path) -> None:
    pool = bind_one(
        tmp_path,
        "qa_iconqa/examples/*/*/data.json",
        fields={"user": "question", "choices": "choices?", "assistant": "answer", "columns": {"kind": "ques_type"}},
    )
    assert Counter(column(pool, "column:kind")) == {"choose_img": 50, "choose_txt": 50, "fill_in_blank": 50}
    assert column(pool, "answers") == [1] * 150
    for file in pool.files:
        record = load(file.path)
        expected = "ABCDE"[record["answer"]] if "choices" in record else record["answer"]
        [characters] = file.index.table["answer_characters"].to_pylist()
        assert characters == len(expected), file.path


def test_15_answers_of_any_type_keep_their_value(tmp_path: Path) -> None:
    name = "math_theoremqa/theoremqa_test.json.gz"
    pool = bind_one(tmp_path, name, fields={"columns": {"answer": "Answer"}})
    assert pool.files[0].index.seen == {"answer": 1 | 2 | 4 | 8 | 16}
    answers = [text(sample(tmp_path, pool, position), "assistant") for position in range(800)]
    different = [
        (record["Answer"], answer)
        for record, answer in zip(load(name), answers, strict=True)
        if (answer if isinstance(record["Answer"], str) else json.loads(answer)) != record["Answer"]
    ]
    assert different == []


def test_15_booleans_numbers_and_texts_in_one_column(tmp_path: Path) -> None:
    name = "math_superclevr/superCLEVR_questions_5.json"
    pool = bind_one(tmp_path, name, fields={"columns": {"answer": "answer"}})
    expected = [
        answer if isinstance(answer, str) else json.dumps(answer)
        for answer in (record["answer"] for record in load(name)["questions"])
    ]
    assert Counter(type(record["answer"]) for record in load(name)["questions"]) == {bool: 158, int: 45, str: 35}
    assert column(pool, "column:answer") == expected
    assert [text(sample(tmp_path, pool, position), "assistant") for position in range(238)] == expected


def test_16_of_alternative_answers_the_first_is_taught(tmp_path: Path) -> None:
    sources: list[tuple[str, dict[str, Any], str]] = [
        ("ocr_multimodalocr/OCRBench.json.gz", {}, "answers"),
        ("bench_mmmu/answer_dict_val.json", {"fields": {"key": "__key", "assistant": "ground_truth"}}, "ground_truth"),
    ]
    for name, settings, answer in sources:
        records = load(name)
        records = list(records.values()) if isinstance(records, dict) else records
        pool = bind_one(tmp_path, name, **settings)
        found = [text(sample(tmp_path, pool, position), "assistant") for position in range(len(records))]
        values = [record[answer] for record in records]
        assert found == [value if isinstance(value, str) else value[0] for value in values]
        assert any(isinstance(value, list) for value in values)


def test_16_files_of_one_pool_may_differ_in_it(tmp_path: Path) -> None:
    fields = {"images": "image_path", "user": "question", "assistant": "gt_answers"}
    pool = bind_one(tmp_path, "ocr_multimodalocr/*VQA.json.gz", fields=fields)
    assert (len(ids(pool)), [len(file.index.malformed) for file in pool.files]) == (15000, [0, 0, 0])


def test_17_a_column_that_is_a_list_here_and_text_there_is_text(tmp_path: Path) -> None:
    pool = {
        "source": "qa_vsr/data_files/all_vsr_*_data.jsonl.gz",
        "fields": {"user": "caption", "assistant": "label", "columns": {"votes": "vote_true_validator_id"}},
    }
    unvoted = sum(
        str(record["vote_true_validator_id"]) == "[]"
        for kind in ("raw", "validated")
        for record in load_lines(f"qa_vsr/data_files/all_vsr_{kind}_data.jsonl.gz")
    )
    recipe = json.loads(recipe_of({"vsr": pool})) | {"filter": ['votes == "[]"']}
    assert compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA).manifest.draws == unvoted > 0


def test_17_ids_that_are_keys_of_an_object_are_keys(tmp_path: Path) -> None:
    tabmwp = keys(bind_one(tmp_path, "math_tabmwp/problems_test1k.json.gz"))
    assert tabmwp == list(load("math_tabmwp/problems_test1k.json.gz"))
    assert {int(str(key)) for key in tabmwp} <= set(load("math_tabmwp/splits.json.gz")["test"])
    mathvista = keys(bind_one(tmp_path, "bench_mathvista/testmini.json.gz"))
    assert mathvista == list(load("bench_mathvista/testmini.json.gz"))


def test_18_tools_stay_the_json_they_are(tmp_path: Path) -> None:
    name = "text_llamafactory_demo/glaive_toolcall_en_demo.json.gz"
    pool = bind_one(tmp_path, name)
    records = load(name)
    for position in range(0, 300, 30):
        found = sample(tmp_path, pool, position)["tools"]
        assert (found or "") == records[position]["tools"]
        assert not found or isinstance(json.loads(found), list)


def test_19_images_that_only_some_rows_have_are_found(tmp_path: Path) -> None:
    records = load("sci_scienceqa/bunny_test_CQM-A.json.gz")
    expected = [int("image" in record) for record in records]
    assert sum(expected) == 2017
    pool = bind_one(tmp_path, "sci_scienceqa/bunny_test_CQM-A.json.gz")
    assert column(pool, "images") == expected


def test_19_images_that_only_late_rows_have_are_not_lost(tmp_path: Path) -> None:
    """`auto` looks at 64 records; a mix sorted by kind shows its first image after them."""
    records = load("sci_scienceqa/bunny_test_CQM-A.json.gz")
    records.sort(key=lambda record: "image" in record)
    write_jsonl(tmp_path / "sorted.jsonl", records)
    try:
        bound, findings = bind_text(tmp_path, recipe_of({"pool": {"source": "sorted.jsonl"}}), root=tmp_path)
    except Rejected as error:  # a refusal that names the field is as good
        assert "image" in said(error.findings.errors)
    else:
        assert sum(column(bound.pools[0], "images")) == 2017 or "image" in said(findings.diagnostics)


def test_19_answers_that_only_some_files_have_are_not_lost(tmp_path: Path) -> None:
    """test.jsonl.gz has no answers, val.jsonl.gz has; as one pool, the first must not speak for both."""
    pool = {"source": "doc_docvqa/*.jsonl.gz"}
    try:
        bound, findings = bind_text(tmp_path, recipe_of({"docvqa": pool}))
    except Rejected as error:  # a refusal that names the file is as good
        assert "val.jsonl.gz" in said(error.findings.errors)
    else:
        assert sum(column(bound.pools[0], "answers")) == 5349 or "val.jsonl.gz" in said(findings.diagnostics)


def test_20_a_score_file_of_another_kind_is_refused_as_an_annotation(tmp_path: Path) -> None:
    recipe = json.loads(recipe_of({"captions": {"source": f"{SCORES}full_score_data.json.gz", **CAPTION}}))
    recipe["annotations"] = [{"source": f"{SCORES}gpt_final_score.json.gz", "match": "key", "column": "image_id"}]
    [error] = rejected(tmp_path, json.dumps(recipe), root=SHARED_DATA)
    assert "gpt_final_score.json.gz" in error.headline and ".parquet, .csv or .jsonl" in error.headline


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("bench_seed/SEED-Bench-llava_with_grounding.jsonl.gz", "(with grounding)"),
        ("ocr_multimodalocr/bunny_textvqa_val_v051_ocr.jsonl.gz", "Reference OCR token: DAKOTA, DIGITAL"),
        ("bench_mme/bunny_mme.jsonl.gz", "Answer the question using a single word or phrase."),
    ],
)
@pytest.mark.parametrize("format", ["prompt", "auto"])
def test_22_questions_in_the_llava_format_are_questions(source: str, words: str, format: str, tmp_path: Path) -> None:
    """`{question_id, image, text, category}`: the text is asked, and never taught as an answer."""
    pool = bind_one(tmp_path, source, format=format)
    found = sample(tmp_path, pool)
    assert {message["role"] for message in found["messages"]} == {"user"}
    assert words in text(found, "user")
    assert sum(column(pool, "answers")) == 0


@pytest.mark.parametrize(
    ("source", "records", "different_keys"),
    [
        ("chart_chartqa/mova_test_all.jsonl.gz", 2500, 1),
        ("bench_mme/bunny_mme.jsonl.gz", 2374, 1187),
        ("ocr_multimodalocr/OCRBench.json.gz", 1000, 857),
        ("bench_pope/coco/*.json.gz", 9000, 3000),
        ("bench_seed/SEED-Bench-llava_with_grounding.jsonl.gz", 14233, 14232),
        ("bench_llava_bench/coco2014_val_gpt4_qa_30x3.jsonl", 90, 30),
    ],
)
def test_24_keys_that_repeat_lose_no_sample(source: str, records: int, different_keys: int, tmp_path: Path) -> None:
    built = compile_text(tmp_path, recipe_of({"pool": {"source": source}}), root=SHARED_DATA)
    assert built.manifest.draws == records
    assert len(set(keys(bind_one(tmp_path, source)))) == different_keys


def test_24_a_key_of_several_fields_is_unique(tmp_path: Path) -> None:
    composite = ["category", "subcategory", "set_id", "figure_id", "question_id"]
    for key, different in ((["question_id"], 8), (composite, 1129)):
        pool = bind_one(tmp_path, "bench_hallusion/HallusionBench.json.gz", fields={"key": key})
        assert (len(keys(pool)), len(set(keys(pool)))) == (1129, different)


def test_24_scores_joined_by_a_key_that_repeats_are_not_joined_in_silence(tmp_path: Path) -> None:
    """One score for -1 is not the score of 2,500 samples, unless somebody is told."""
    data = tmp_path / "data"
    data.mkdir()
    records = load_lines("chart_chartqa/mova_test_all.jsonl.gz")
    write_jsonl(data / "chartqa.jsonl", records)
    for rows, words in (([{"key": -1, "score": 1}], "-1"), ([{"key": -1, "score": n} for n in (1, 2)], "several rows")):
        write_jsonl(data / "scores.jsonl", rows)
        recipe = json.loads(recipe_of({"chartqa": {"source": "chartqa.jsonl"}}))
        recipe["annotations"] = [{"source": "scores.jsonl", "match": "key"}]
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        ran = run_recipe("plan", path, "--root", data, "--cache", tmp_path / "cache", cwd=tmp_path)
        assert words in ran.err and "scores.jsonl" in ran.err, (rows, ran.err)


@pytest.mark.parametrize(
    ("source", "settings", "records", "different"),
    [
        (
            "ground_refcoco/refcoco+_val.json.gz",
            {"fields": {"images": "img_id", "user": "sents", "assistant": "bbox"}},
            10758,
            10096,
        ),
        ("chart_chartqa/mova_test_all.jsonl.gz", {}, 2500, 2490),
        ("text_llamafactory_demo/alpaca_en_demo.json.gz", {}, 999, 985),
    ],
)
def test_25_repetitions_are_kept_unless_told_otherwise(
    source: str, settings: Mapping[str, Any], records: int, different: int, tmp_path: Path
) -> None:
    recipe = json.loads(recipe_of({"pool": {"source": source, **settings}}))
    assert compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA).manifest.draws == records
    recipe["dedup"] = {"exact": True}
    assert compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA).manifest.draws == different


def test_26_empty_answers_are_samples_that_a_filter_finds(tmp_path: Path) -> None:
    pool = bind_one(tmp_path, f"{EN}*.json.gz")
    assert sum(characters == 0 for characters in column(pool, "answer_characters")) == 28
    first = bind_one(tmp_path, f"{EN}alpaca_data-0-3252-英文.json.gz")
    assert sum(characters == 0 for characters in column(first, "answer_characters")) == 4
    assert column(first, "answers") == [1] * 3252
    recipe = json.loads(recipe_of({"alpaca": {"source": f"{EN}*.json.gz"}})) | {"filter": ["answer_characters > 0"]}
    assert compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA).manifest.draws == 52002 - 28


def test_28_pictures_are_told_by_content(tmp_path: Path) -> None:
    pool = {
        "source": "math_theoremqa/theoremqa_test.json.gz",
        "media": "math_theoremqa",
        "missing_media": "drop",
    }
    recipe = json.loads(recipe_of({"theoremqa": pool})) | {"filter": ["images > 0"]}
    compile_text(tmp_path, json.dumps(recipe), root=SHARED_DATA)
    formats: dict[Path, str | None] = {}
    dataset = ManifestDataset(tmp_path / "out", root=SHARED_DATA, cache=tmp_path / ".recipe")
    for position in range(len(dataset)):
        for media in dataset[position].media:
            assert media.path is not None
            formats[media.path] = media.image().format
    assert len(formats) == 31
    named = {".jpg": "JPEG", ".png": "PNG"}
    mislabelled = Counter(kind for path, kind in formats.items() if kind != named[path.suffix])
    assert mislabelled == {"PNG": 1, "GIF": 4}


@pytest.mark.parametrize(
    ("source", "media", "path", "references", "missing"),
    [
        ("sci_scienceqa/bunny_test_CQM-A.json.gz", "sci_scienceqa/images/test", "image", 2017, 1785),
        ("chart_chartqa/train/train_augmented.json.gz", "chart_chartqa/train/png", "image", 999, 899),
        ("conv_mantis_chat/chat/train.json.gz", "conv_mantis_chat/chat", "images", 377, 122),
        ("conv_mantis_chat/classification/train.json.gz", "conv_mantis_chat/classification", "images", 1368, 1048),
        ("conv_mantis_chat/chat_video/train.json", "conv_mantis_chat/chat_video", "video", 20, 19),
        ("math_superclevr/superCLEVR_questions_5.json", "math_superclevr/images", "image_filename", 5, 2),
    ],
)
def test_29_a_sample_is_dropped_if_any_of_its_media_is_missing(
    source: str, media: str, path: str, references: int, missing: int, tmp_path: Path
) -> None:
    records = load(source)
    records = records["questions"] if isinstance(records, dict) else records
    shown = [record.get(path, []) for record in records]
    shown = [value if isinstance(value, list) else [value] for value in shown]
    present = {name: (SHARED_DATA / media / name).is_file() for names in shown for name in names}
    assert (len(present), sum(not there for there in present.values())) == (references, missing)
    pool: dict[str, Any] = {"source": source, "media": media, "missing_media": "drop"}
    if path == "image_filename":
        pool["fields"] = {"images": path}
    built = compile_text(tmp_path, recipe_of({"pool": pool}), root=SHARED_DATA)
    assert built.manifest.draws == sum(all(present[name] for name in names) for names in shown)


def test_30_every_image_of_a_row_is_shown_where_it_is_marked(tmp_path: Path) -> None:
    name = "conv_mantis_chat/chat/train.json.gz"
    pool, records = bind_one(tmp_path, name), load(name)
    assert column(pool, "images") == [len(record["images"]) for record in records]
    assert column(pool, "media") == [record["images"] for record in records]
    for position in range(0, 100, 10):
        found = sample(tmp_path, pool, position)
        marks = [turn["content"].count("<image>") for turn in records[position]["conversation"]]
        shown = [sum(part["type"] == "image" for part in message["content"]) for message in found["messages"]]
        assert shown == marks
    demo = sample(tmp_path, bind_one(tmp_path, "text_llamafactory_demo/mllm_demo.json"))
    assert [media["path"] for media in demo["media"]] == ["mllm_demo_data/1.jpg"] * 2
    assert [part["type"] for message in demo["messages"] for part in message["content"]] == [
        *("image", "text"),  # <image>Who are they?
        "text",
        *("text", "image"),  # What are they doing?<image>
        "text",
    ]


def test_30_image_here_and_images_there(tmp_path: Path) -> None:
    source = "conv_mantis_chat/training_example.json"
    assert column(bind_one(tmp_path, source), "images") == [1, 1]


@pytest.mark.parametrize("name", ["mllm_audio_demo.json", "mllm_video_audio_demo.json"])
def test_30_sound_is_refused_and_not_dropped(name: str, tmp_path: Path) -> None:
    """`audios` beside `<audio>` marks: a sample without its sound is another sample."""
    told = said(rejected(tmp_path, recipe_of({"pool": {"source": f"text_llamafactory_demo/{name}"}}), root=SHARED_DATA))
    assert name in told and "audio" in told
