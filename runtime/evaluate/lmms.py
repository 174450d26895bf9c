"""A manifest as tasks of lmms-eval: a YAML file and a Parquet file for each pool, and a group of them all.

`lmms-eval --include_path OUT --tasks NAME` finds them. Data files are named relative to their YAML file. Answers are
judged by our own metrics, so that this package must be installed beside lmms-eval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from runtime.errors import StreamError
from runtime.evaluate.questions import Question, Questions

_SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64()),
        pa.field("sample_id", pa.string()),
        pa.field("prompt", pa.string()),
        pa.field("messages", pa.string()),
        pa.field("images", pa.list_(pa.binary())),
        pa.field("answers", pa.list_(pa.string())),
        pa.field("options", pa.string()),
        pa.field("metric", pa.string()),
    ]
)
#: Rows in a group of a Parquet file, whose images lie in memory together.
_ROWS = 64
_UTILS = '''"""What lmms-eval calls for each document of these tasks."""

from runtime.evaluate.lmms_task import judged, messages, pictures, question, target  # noqa: F401
'''
_TASK = """\
task: {task}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.pictures
doc_to_text: !function utils.question
doc_to_messages: !function utils.messages
doc_to_target: !function utils.target
process_results: !function utils.judged
generation_kwargs:
  max_new_tokens: {max_new_tokens}
  temperature: 0
  do_sample: false
metric_list:
  - metric: score
    aggregation: mean
    higher_is_better: true
  - metric: malformed
    aggregation: mean
    higher_is_better: false
metadata:
  version: 1.0
  manifest: {manifest}
"""
_GROUP = """\
group: {group}
task:
{tasks}
aggregate_metric_list:
  - metric: score
    aggregation: mean
    weight_by_size: true
metadata:
  version: 1.0
  manifest: {manifest}
"""


def export(questions: Questions, out: Path, *, name: str, max_new_tokens: int) -> Mapping[str, tuple[int, int]]:
    """Writes the tasks into a new or empty folder. (exported, left out for want of an answer) by task.

    Raises `StreamError` for videos, which a document cannot hold.
    """
    if out.exists() and any(out.iterdir()):
        raise StreamError(f"{out}: is not empty; name a new folder")
    (out / "data").mkdir(parents=True, exist_ok=True)
    manifest = questions.reader.manifest
    writers: dict[str, pq.ParquetWriter] = {}
    waiting: dict[str, list[dict[str, object]]] = {}
    counts: dict[str, list[int]] = {}
    try:
        for position in range(len(questions)):
            asked = questions[position]
            pool = asked.sample.pool
            count = counts.setdefault(pool, [0, 0])
            count[asked.metric is None] += 1
            if asked.metric is None:
                continue
            if pool not in writers:
                writers[pool] = pq.ParquetWriter(out / "data" / f"{pool}.parquet", _SCHEMA)
            rows = waiting.setdefault(pool, [])
            rows.append(_row(asked))
            if len(rows) == _ROWS:
                writers[pool].write_table(pa.Table.from_pylist(rows, _SCHEMA))
                rows.clear()
        for pool, rows in waiting.items():
            if rows:
                writers[pool].write_table(pa.Table.from_pylist(rows, _SCHEMA))
    finally:
        for writer in writers.values():
            writer.close()
    for pool in sorted(writers):
        task = _TASK.format(
            task=json.dumps(f"{name}_{pool}"),
            data=json.dumps(f"data/{pool}.parquet"),
            max_new_tokens=max_new_tokens,
            manifest=json.dumps(manifest.ids.manifest),
        )
        (out / f"{name}_{pool}.yaml").write_text(task, encoding="utf-8")
    tasks = "\n".join(f"  - {json.dumps(f'{name}_{pool}')}" for pool in sorted(writers))
    group = _GROUP.format(group=json.dumps(name), tasks=tasks, manifest=json.dumps(manifest.ids.manifest))
    (out / f"{name}.yaml").write_text(group, encoding="utf-8")
    (out / "utils.py").write_text(_UTILS, encoding="utf-8")
    return {f"{name}_{pool}": (count[0], count[1]) for pool, count in sorted(counts.items())}


def _row(asked: Question) -> dict[str, object]:
    sample = asked.sample
    images = []
    for message in sample.messages:
        for part in message["content"]:
            if part["type"] == "image":
                images.append(sample.media[part["media"]].read())
            elif part["type"] != "text":
                raise StreamError(f"position {sample.position:,} shows a {part['type']}, which a task cannot hold")
    chat = [
        {
            "role": message["role"],
            "content": [
                {"type": "text", "text": part["text"]} if part["type"] == "text" else {"type": "image"}
                for part in message["content"]
            ],
        }
        for message in sample.messages
    ]
    return {
        "position": sample.position,
        "sample_id": sample.sample_id,
        "prompt": asked.prompt,
        "messages": json.dumps(chat, ensure_ascii=False),
        "images": images,
        "answers": list(asked.reference.answers),
        "options": json.dumps(list(asked.reference.options), ensure_ascii=False),
        "metric": asked.metric,
    }
