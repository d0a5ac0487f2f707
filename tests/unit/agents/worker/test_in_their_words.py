"""Copies in Avro say all that the records say."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leverframe.agents.worker.in_their_words import _writer, avro_schema
from leverframe.schemas.codec import RECORDS, decode
from leverframe.streams.sources.formats.avro import avro_reading

GOLDEN = Path(__file__).parents[3] / "golden" / "records.json"


@pytest.mark.parametrize("topic", ["rewards", "control"])
def test_records_survive_their_copy(topic: str) -> None:
    """Golden records, written in Avro and read by the schema alone, are what they were."""
    kind = RECORDS[topic]
    reading = avro_reading(json.dumps(avro_schema(kind)))
    write = _writer(kind, 7)
    for line in json.loads(GOLDEN.read_text("utf-8"))["records"][topic]:
        record: Any = decode(kind, line.encode())
        raw = write(record)
        assert raw[:5] == b"\0\0\0\0\x07"
        datum = reading(raw[5:])
        if "cause" in datum and topic == "control":
            datum["cause"] = json.loads(datum["cause"])
        assert msgspec.convert(datum, kind) == record
