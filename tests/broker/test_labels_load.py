"""Labels from files become rewards, each row once, whatever happens in between."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow as pa
import pytest
from estate import run
from estates import put
from harness import read_all, wait_for_rewards
from pyarrow import parquet
from records import prediction_record

from leverframe.agents.operator.label_files import read_rows
from leverframe.agents.operator.labels import load_labels
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.sources.compiled import compile_source
from leverframe.streams.sources.settings import FieldSettings, SourceSettings

pytestmark = pytest.mark.broker

COUNT = 5_000


def files(folder: Path) -> list[Path]:
    """The same labels in three formats."""
    rows = [{"application": f"q{i}", "outcome": "yes" if i % 2 else "no"} for i in range(COUNT)]
    table, lines, columns = (folder / name for name in ("a.csv", "b.jsonl", "c.parquet"))
    text = "\n".join(f"{row['application']},{row['outcome']}" for row in rows)
    table.write_text(f"application,outcome\n{text}\n")
    lines.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b"\n")
    parquet.write_table(pa.Table.from_pylist(rows), columns)
    return [table, lines, columns]


HOW = ("--request-id", "application", "--label", "outcome", "--map", "yes=1", "--map", "no=0")


def test_files_are_loaded_once(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """CSV, JSON lines and Parquet; the same content is not written twice, and counts once."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        settings = deployment.settings
        topics = settings.topic_names
        halves = [prediction_record(f"q{i}", prediction=1) for i in range(COUNT)]
        await put(
            settings.broker.servers,
            [(topics.predictions, one.key, one.value, []) for one in halves],
        )
        for file in files(tmp_path):
            first = await asyncio.to_thread(run, deployment, "labels", "load", str(file), *HOW)
            assert first.returncode == 0, first.stderr
            assert "5,000 labels of 5,000 rows written; 0 passed over, 0 faulty" in first.stderr
            again = await asyncio.to_thread(run, deployment, "labels", "load", str(file), *HOW)
            assert "0 labels of 0 rows written, 5,000 were there before" in again.stderr
        rewards = await wait_for_rewards(deployment, COUNT)
        assert Counter(one.request_id for one in rewards) == {f"q{i}": 1 for i in range(COUNT)}
        assert sum(one.reward or 0 for one in rewards) == COUNT / 2
        written = await read_all(settings.broker.servers, topics.ground_truth, 4)
        assert len(written) == 3 * COUNT

    asyncio.run(scenario())


def test_a_load_that_was_stopped_goes_on(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """What was written before a stop is not written again; a faulty row is told by its number."""

    async def scenario() -> None:
        deployment = await deploy()
        settings = deployment.settings
        file = tmp_path / "labels.jsonl"
        rows = [{"id": f"q{i}", "y": 1} for i in range(COUNT)]
        rows[4_700] = {"id": "q4700", "y": [1]}  # type: ignore[dict-item]
        file.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
        fields = {"request_id": FieldSettings(path="id"), "label": FieldSettings(path="y")}
        source = SourceSettings(topic="f", kind="ground-truth", **fields)
        mapping = compile_source("f", source, 10_000)

        def stop(done: int) -> None:
            if done >= 2_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await load_labels(settings, file, "jsonl", mapping, stop)
        done = await load_labels(settings, file, "jsonl", mapping, lambda _: None)
        assert (done.done_before, done.rows, done.labels) == (2_000, 3_000, 2_999)
        assert done.faults[0][0] == 4_701
        assert done.faults[0][1].startswith("y: ")
        written = await read_all(settings.broker.servers, settings.topic_names.ground_truth, 4)
        assert len({record.key for record in written}) == len(written) == COUNT - 1

    asyncio.run(scenario())


def test_rows_are_what_they_look_like(tmp_path: Path) -> None:
    """Cells are text, labels the numbers that they look like; a broken line is named."""
    file = tmp_path / "a.csv"
    file.write_text("id,y\n007,1\n8.50,0.5\nx-1,true\n1e5,good\nlast,\n")
    rows = [row for _, row in read_rows(file, "csv")]
    assert rows[-1] == {"id": "last", "y": None}
    fields = {
        "request_id": FieldSettings(path="id"),
        "label": FieldSettings(path="y", type="auto"),
    }
    source = SourceSettings(topic="f", kind="ground-truth", filter="y != null", **fields)
    mapping = compile_source("f", source, 10_000)
    made = [one.record for row in rows for one in cast("list[Any]", mapping.map_document(row))]
    assert [(one.request_id, one.label) for one in made] == [
        ("007", 1),
        ("8.50", 0.5),
        ("x-1", True),
        ("1e5", "good"),
    ]
    broken = tmp_path / "a.jsonl"
    broken.write_text('{"id": 1}\n{\n')
    with pytest.raises(LeverframeError, match="line 2: is not JSON"):
        list(read_rows(broken, "jsonl"))
