"""Each format makes documents of its records, or says what they are instead."""

import base64
import io
from typing import Any

import fastavro
import orjson
import pytest
from foreign import fault, framed, mapped, mapping
from google.protobuf import descriptor_pb2, timestamp_pb2

from leverframe.schemas.codec import decode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.streams.sources.documents import Schema
from leverframe.streams.sources.formats.avro import avro_reading
from leverframe.streams.sources.formats.protobuf import protobuf_reading

LABEL = {"kind": "ground-truth", "request_id": "id", "label": "outcome"}
ROW = {"kind": "ground-truth", "format": "debezium", "request_id": "row.id", "label": "row.y"}
EVENT = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "outcome"}
CE = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"outcome"),
)


def labels(found: list[Any]) -> list[tuple[str, Any]]:
    records = [decode(GroundTruth, one.value) for one in found]
    return [(one.request_id, one.label) for one in records]


def test_cloudevents_come_in_both_modes() -> None:
    """Attributes and data are found where they are, in headers or in the value."""
    ours = mapping(**{**LABEL, "request_id": "id", "label": "data.y"}, format="cloudevents")
    kinds: list[tuple[Any, Any]] = [
        ({**EVENT, "data": {"y": 1}}, ()),
        ({**EVENT, "data": {"y": 1}}, (("content-type", b"application/cloudevents+json"),)),
        ({**EVENT, "data_base64": base64.b64encode(b'{"y": 1}').decode()}, ()),
        ({"y": 1}, (*CE, ("content-type", b"application/json; charset=utf-8"))),
    ]
    for value, headers in kinds:
        assert labels(mapped(ours, value, headers=headers)) == [("e1", 1)]
    wrong = fault(ours, {"y": 1}, headers=CE[:2])
    assert wrong.why == "is no CloudEvent: it has no source, type, in headers or value"
    assert fault(ours, {"id": "e1"}).reason == "unreadable"
    batch = (("content-type", b"application/cloudevents-batch+json"),)
    assert "batch" in fault(ours, [EVENT], headers=batch).why


def change(op: str, before: Any, after: Any) -> dict[str, Any]:
    return {"op": op, "before": before, "after": after, "source": {"table": "t"}, "ts_ms": 1}


@pytest.mark.parametrize("wrapped", [False, True])
def test_rows_become_labels_revisions_and_withdrawals(wrapped: bool) -> None:
    """Create, snapshot, update and delete; a tombstone and a truncation are passed over."""
    ours = mapping(**ROW)

    def told(op: str, before: Any, after: Any) -> list[tuple[str, Any]]:
        event = change(op, before, after)
        return labels(mapped(ours, {"schema": {}, "payload": event} if wrapped else event))

    one, two = {"id": "a", "y": 1}, {"id": "a", "y": 2}
    assert told("c", None, one) == told("r", None, one) == [("a", 1)]
    assert told("u", one, two) == [("a", 2)]
    assert told("u", one, {"id": "b", "y": 1}) == [("a", None), ("b", 1)]
    assert told("d", one, None) == [("a", None)]
    assert told("t", None, None) == []
    assert mapped(ours, None) == []


def test_a_row_that_leaves_the_filter_takes_its_label_back() -> None:
    """What the row was before tells what it does not stand for any more."""
    ours = mapping(**ROW, filter="row.y != null")
    assert labels(mapped(ours, change("c", None, {"id": "a", "y": None}))) == []
    was, now = {"id": "a", "y": 1}, {"id": "a", "y": None}
    assert labels(mapped(ours, change("u", was, now))) == [("a", None)]
    assert labels(mapped(ours, change("u", now, was))) == [("a", 1)]


def test_a_delete_without_its_row_says_what_to_do() -> None:
    """The key alone does not say which label goes; the table must log whole rows."""
    assert "REPLICA IDENTITY FULL" in fault(mapping(**ROW), change("d", None, None)).why
    assert "ExtractNewRecordState" in fault(mapping(**ROW), {"id": "a", "y": 1}).why


def test_keys_of_debezium_are_columns() -> None:
    """With or without the schema that Kafka Connect writes beside them."""
    ours = mapping(**{**ROW, "request_id": {"key": "id"}})
    event = change("c", None, {"y": 1})
    for key in (b'{"id":"a"}', b'{"schema":{},"payload":{"id":"a"}}'):
        assert labels(mapped(ours, event, key=key)) == [("a", 1)]


def test_quoted_keys_are_read() -> None:
    """Kafka Connect's JSON converter quotes a text; others do not."""
    ours = mapping(**{**LABEL, "request_id": {"key": "@"}})
    for key in (b'"a"', b"a"):
        assert labels(mapped(ours, {"outcome": 1}, key=key)) == [("a", 1)]
    assert fault(ours, {"outcome": 1}).path == "key @"
    assert fault(ours, {"outcome": 1}, key=b"\xff").reason == "unreadable"


def avro(schema: Any, datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return out.getvalue()


OUTCOME = {
    "type": "record",
    "name": "Outcome",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "outcome", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


def test_avro_is_read_with_the_schema_it_was_written_with() -> None:
    """Times and decimals of Avro are what they say; no unit is needed."""
    from datetime import UTC, datetime
    from decimal import Decimal

    ours = mapping(**LABEL, labelled_at_ms="at", format="avro", filter="outcome > `1`")
    at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    value = framed(7, avro(OUTCOME, {"id": "a", "outcome": Decimal(3), "at": at}))
    schemas = {7: Schema("AVRO", avro_reading(orjson.dumps(OUTCOME).decode()))}
    [one] = mapped(ours, value, schemas)
    assert decode(GroundTruth, one.value) == GroundTruth(
        request_id="a", label=3.0, labelled_at_ms=1_700_000_000_000
    )
    assert fault(ours, value).reason == "unknown_schema"
    assert fault(ours, value, {7: Schema("JSON", bytes)}).reason == "unreadable"
    assert fault(ours, value[:9], schemas).reason == "unreadable"
    assert "a zero byte" in fault(ours, b'{"id":1}', schemas).why


def test_avro_reads_schemas_that_others_refer_to() -> None:
    """Named types of other subjects are known before who needs them."""
    inner = {"type": "enum", "name": "shop.Word", "symbols": ["good", "bad"]}
    outer = {
        "type": "record",
        "name": "O",
        "fields": [{"name": "id", "type": "string"}, {"name": "outcome", "type": "shop.Word"}],
    }
    reading = avro_reading(orjson.dumps(outer).decode(), [orjson.dumps(inner).decode()])
    assert reading(b"\x02a\x02") == {"id": "a", "outcome": "bad"}
    with pytest.raises(ValueError, match="no Avro schema"):
        avro_reading(orjson.dumps(outer).decode())


def test_json_schema_is_json_behind_a_frame() -> None:
    """The frame is asked for; what it frames is JSON."""
    ours = mapping(**LABEL, format="json-schema")
    assert labels(mapped(ours, framed(3, b'{"id":"a","outcome":1}'))) == [("a", 1)]
    assert 'format = "json"' in fault(ours, {"id": "a", "outcome": 1}).why
    assert fault(ours, framed(3, b"{")).reason == "unreadable"


def outcome_file() -> descriptor_pb2.FileDescriptorProto:
    """``message Note {} message Outcome { id, at, scores, message Inner { y } inner }``."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="o.proto", package="shop", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.message_type.add(name="Note")
    outcome = file.message_type.add(name="Outcome")
    inner = outcome.nested_type.add(name="Inner")
    inner.field.add(name="y", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    entry = outcome.nested_type.add(name="ScoresEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
    for number, (name, kind, label, type_name) in enumerate(
        [
            ("id", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL, ""),
            ("at", kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL, ".google.protobuf.Timestamp"),
            ("scores", kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED, ".shop.Outcome.ScoresEntry"),
            ("inner", kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL, ".shop.Outcome.Inner"),
        ],
        1,
    ):
        outcome.field.add(
            name=name, number=number, type=kind, label=label, type_name=type_name or None
        )
    return file


def test_protobuf_is_read_by_its_descriptor() -> None:
    """Maps, nested messages, numbers that are zero, well-known types; no compiler is asked."""
    from google.protobuf import descriptor_pool, message_factory

    file = outcome_file()
    serialized = base64.b64encode(file.SerializeToString()).decode()
    read = protobuf_reading(serialized)
    pool = descriptor_pool.DescriptorPool()
    stamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(stamp)
    pool.Add(stamp)
    pool.Add(file)
    kind: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Outcome"))
    message = kind(id="a", scores={"x": 0.5})
    message.at.seconds = 1_700_000_000
    message.inner.y = 0
    payload = message.SerializeToString()
    found = read(b"\x02\x02" + payload)
    assert found == {
        "id": "a",
        "at": "2023-11-14T22:13:20Z",
        "scores": {"x": 0.5},
        "inner": {"y": 0},
    }
    assert read(b"\x04\x02\x00\x08\x01") == {"y": 1}
    assert read(b"\x00") == {}
    ours = mapping(
        **{**LABEL, "label": "inner.y"},
        labelled_at_ms={"path": "at", "unit": "iso8601"},
        format="protobuf",
    )
    schemas = {9: Schema("PROTOBUF", read)}
    [one] = mapped(ours, framed(9, b"\x02\x02" + payload), schemas)
    assert decode(GroundTruth, one.value).labelled_at_ms == 1_700_000_000_000
    for broken in (b"", b"\x02", b"\x02\x0a", b"\x80", b"\x02\x02\xff", b"\x01\x01"):
        assert fault(ours, framed(9, broken), schemas).reason == "unreadable"
    with pytest.raises(ValueError, match="format=serialized"):
        protobuf_reading('syntax = "proto3";')
    file.dependency.append("other.proto")
    with pytest.raises(ValueError, match="lacks a file that it imports"):
        protobuf_reading(base64.b64encode(file.SerializeToString()).decode())
