"""Copies in Avro and in Protobuf say all that the records say."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leverframe.schemas.codec import RECORDS, decode
from leverframe.streams.copies.avro import AvroCopy
from leverframe.streams.copies.fields import fields_of
from leverframe.streams.copies.protobuf import ProtobufCopy, proto_descriptor
from leverframe.streams.sources.documents import Reading
from leverframe.streams.sources.formats.avro import avro_reading
from leverframe.streams.sources.formats.protobuf import protobuf_reading

GOLDEN = Path(__file__).parents[3] / "golden" / "records.json"


def _copy(form: str, kind: Any) -> tuple[Any, Reading]:
    """What writes a copy, and what a stranger reads it with."""
    if form == "avro":
        copy = AvroCopy(kind)
        return copy, avro_reading(copy.schema)
    described = base64.b64encode(proto_descriptor(kind).SerializeToString()).decode()
    return ProtobufCopy(kind), protobuf_reading(described)


@pytest.mark.parametrize("form", ["avro", "protobuf"])
@pytest.mark.parametrize("topic", ["rewards", "control"])
def test_records_survive_their_copy(topic: str, form: str) -> None:
    """Golden records, written and read by the schema alone, are what they were."""
    kind = RECORDS[topic]
    copy, reading = _copy(form, kind)
    texts = [one.name for one in fields_of(kind) if one.plain == "json"]
    lists = [one.name for one in fields_of(kind) if one.form != "single" and one.is_nullable]
    for line in json.loads(GOLDEN.read_text("utf-8"))["records"][topic]:
        record: Any = decode(kind, line.encode())
        datum = reading(copy.encode(record))
        for name in texts:
            datum[name] = json.loads(datum[name])
        for name in lists:  # Protobuf does not tell an empty list from none
            datum[name] = datum.get(name) or None
        told = {one.name: datum.get(one.name) for one in fields_of(kind)}
        assert msgspec.convert(told, kind) == record


def test_a_field_that_no_format_can_say_is_refused() -> None:
    """A set, say: better at the start than a copy that lacks it."""

    class Odd(msgspec.Struct):
        members: set[int]

    with pytest.raises(TypeError, match="no format says"):
        AvroCopy(Odd)
