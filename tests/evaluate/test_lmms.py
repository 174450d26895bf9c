"""The export as lmms-eval reads it, where it is installed, and as its task guide describes it."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from runtime.commands import evaluating
from runtime.evaluate import lmms_task
from runtime.evaluate.predictions import Prediction
from tests.evaluate.helpers import NUM, right, run_here, write_exam
from tests.support import compile_text, write_jsonl


class _Tasks(yaml.SafeLoader):
    """YAML with `!function`, as names."""


_Tasks.add_constructor("!function", lambda loader, node: f"function {loader.construct_scalar(node)}")  # type: ignore[no-untyped-call]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    write_exam(tmp_path)
    ran = run_here("export-lmms", "out", "tasks", "--metric", "charts=anls", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "wrote tasks\n")
    assert ran.out == "".join(f"exam_{name}: {NUM} questions\n" for name in ("charts", "colours", "doubts"))
    return tmp_path / "tasks"


def test_a_task_for_each_pool_and_a_group_of_all(tasks: Path) -> None:
    assert sorted(path.relative_to(tasks).as_posix() for path in tasks.rglob("*.*")) == [
        "data/charts.parquet",
        "data/colours.parquet",
        "data/doubts.parquet",
        "exam.yaml",
        "exam_charts.yaml",
        "exam_colours.yaml",
        "exam_doubts.yaml",
        "utils.py",
    ]
    task = yaml.load((tasks / "exam_charts.yaml").read_text(), _Tasks)
    assert task["task"] == "exam_charts" and task["output_type"] == "generate_until"
    assert task["dataset_kwargs"] == {"data_files": {"test": "data/charts.parquet"}}
    functions = {value.removeprefix("function utils.") for value in task.values() if str(value).startswith("function")}
    spec = importlib.util.spec_from_file_location("utils", tasks / "utils.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert functions <= set(dir(module)) and len(functions) == 5
    group = yaml.load((tasks / "exam.yaml").read_text(), _Tasks)
    assert (group["group"], group["task"]) == ("exam", ["exam_charts", "exam_colours", "exam_doubts"])


def test_a_documents_score_is_that_of_recipe_eval(tasks: Path) -> None:
    questions = evaluating.questions_of(tasks.parent / "out", ("charts=anls",), root=None, cache=None)
    seen = 0
    for name in ("charts", "colours", "doubts"):
        for doc in pq.read_table(tasks / "data" / f"{name}.parquet").to_pylist():
            asked = questions[doc["position"]]
            for answer in (right(doc["position"]), "A or B", "", "yes", "19"):
                line = Prediction.of(asked, answer)
                judged = {"score": line.score, "malformed": float(line.read is None)}
                assert lmms_task.judged(doc, [answer]) == judged
            assert lmms_task.question(doc) == asked.prompt and lmms_task.target(doc) == asked.reference.answers[0]
            seen += 1
    assert seen == 3 * NUM


def test_pictures_stand_where_they_stood(tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (4 + number, 5), (200, 0, 0)).save(tmp_path / f"{number}.png")
    records = [
        {"question": "<image> and <image>: which is wider?", "image": ["0.png", "1.png"], "answer": "the second"}
    ]
    write_jsonl(tmp_path / "q.jsonl", records)
    compile_text(tmp_path, "{recipe: 1, name: two, pools: {q: {source: q.jsonl, format: qa, media: .}}}")
    assert run_here("export-lmms", "out", "tasks", "--name", "wide", cwd=tmp_path).code == 0
    (doc,) = pq.read_table(tmp_path / "tasks" / "data" / "q.parquet").to_pylist()
    assert [picture.size for picture in lmms_task.pictures(doc)] == [(4, 5), (5, 5)]
    (message,) = lmms_task.messages(doc)
    assert [part["type"] for part in message["content"]] == ["image", "text", "image", "text"]
    assert message["content"][2]["url"].size == (5, 5)
    assert Image.open(io.BytesIO(doc["images"][0])).format == "PNG"
    ran = run_here("export-lmms", "out", "tasks", cwd=tmp_path)
    assert ran.code == 1 and "tasks: is not empty; name a new folder" in ran.err
    ran = run_here("export-lmms", "out", "new", "--name", "../x", cwd=tmp_path)
    assert ran.code == 1 and "a name has letters, digits" in ran.err


@pytest.mark.slow
def test_lmms_eval_loads_and_scores_the_tasks(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tasks / "home"))
    loading = pytest.importorskip("lmms_eval.tasks", reason="lmms-eval is not installed")
    manager = loading.TaskManager(include_path=str(tasks), include_defaults=False)
    assert manager.all_tasks == ["exam", "exam_charts", "exam_colours", "exam_doubts"]
    loaded = loading.get_task_dict(["exam_charts", "exam_colours"], manager)
    for task in loaded.values():
        docs = list(task.test_docs())
        assert len(docs) == NUM
        for doc in docs:
            answer = right(doc["position"])
            assert task.process_results(doc, [answer]) == {"score": 1.0, "malformed": 0.0}
            assert task.doc_to_text(doc) == doc["prompt"] and task.doc_to_visual(doc) == []
        assert task.aggregation()["score"]([1.0, 0.0]) == 0.5
    (group,) = loading.get_task_dict(["exam"], manager)
    assert group.group == "exam"
