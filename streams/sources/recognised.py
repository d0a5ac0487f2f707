"""Recognises the format of a topic by its records."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from leverframe.streams.sources.documents import Schemas, SourceRecord
from leverframe.streams.sources.framing import FRAME_BYTES, is_framed, schema_id
from leverframe.streams.sources.settings import FormatName

__all__ = ["recognise"]

_KINDS: Final[Mapping[str, FormatName]] = {
    "AVRO": "avro",
    "PROTOBUF": "protobuf",
    "JSON": "json-schema",
}
_EVENT: Final = {"specversion", "id", "source", "type"}


def recognise(records: Sequence[SourceRecord], schemas: Schemas) -> FormatName | None:
    """Return the format in which most records are; None where they are in none that is known.

    ``schemas`` are those that framed records name, as far as they can be had.
    """
    votes: dict[FormatName, int] = {}
    for record in records:
        found = None if record.value is None else _recognise(record, record.value, schemas)
        if found is not None:
            votes[found] = votes.get(found, 0) + 1
    if not votes:
        return None
    best: FormatName = max(votes, key=votes.__getitem__)
    return best


def _recognise(record: SourceRecord, value: bytes, schemas: Schemas) -> FormatName | None:
    if any(name == "ce_specversion" for name, _ in record.headers):
        return "cloudevents"
    if is_framed(value):
        return _of_frame(value, schemas)
    document = _json(value)
    if isinstance(document, dict) and document.keys() >= _EVENT:
        return "cloudevents"
    if _is_change(document):
        return "debezium"
    return None if document is None else "json"


def _of_frame(value: bytes, schemas: Schemas) -> FormatName | None:
    schema = schemas.get(schema_id(value))
    if schema is None or schema.problem:
        return None if _json(value[FRAME_BYTES:]) is None else "json-schema"
    if schema.kind == "AVRO":
        try:
            return "debezium" if _is_change(schema.read(value[FRAME_BYTES:])) else "avro"
        except Exception:  # noqa: BLE001 - bytes that anybody may send
            return "avro"
    return _KINDS.get(schema.kind)


def _is_change(document: Any) -> bool:
    if isinstance(document, dict) and document.keys() == {"schema", "payload"}:
        document = document["payload"]
    return isinstance(document, dict) and document.keys() >= {"op", "before", "after"}


def _json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
