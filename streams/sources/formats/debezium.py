"""Debezium's change events: rows of a table as they come, change and go.

A document is the envelope (``op``, ``before``, ``after``, ``source``, ``ts_ms``) and ``row``: the
row as it is, or, where it was deleted, as it was. There ``after`` is the row too, so that one path
serves every operation.
"""

from collections.abc import Mapping
from typing import Any, Final

from leverframe.streams.sources.documents import Change, Decoded, FormatError, Schemas
from leverframe.streams.sources.formats.plain import read_json, read_key
from leverframe.streams.sources.framing import FRAME_BYTES, is_framed, unframe

__all__ = ["DebeziumFormat"]

# Create, read (of a snapshot), update, delete; the rest is about tables and messages.
_CHANGES: Final[Mapping[str, Change]] = {
    "c": "state",
    "r": "state",
    "u": "state",
    "d": "delete",
    "t": "skip",
    "m": "skip",
}


class DebeziumFormat:
    """JSON with or without its schema, or Avro behind a registry's frame."""

    is_framed = True
    passes_tombstones = True

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del headers
        envelope = _payload(_read(value, schemas))
        op = envelope.get("op") if isinstance(envelope, dict) else None
        change = _CHANGES.get(op) if isinstance(op, str) else None
        if change is None:
            raise FormatError(
                "unreadable",
                "is no change event of Debezium: op is none of c, r, u, d, t and m. Where only the "
                'row comes through (ExtractNewRecordState), format = "json"',
            )
        if change == "skip":
            return Decoded(None, "skip")
        before = envelope.get("before")
        if change == "delete":
            if not isinstance(before, dict):
                raise FormatError(
                    "unmappable",
                    "is a delete without the row that was there; let the database log whole rows "
                    "(PostgreSQL: REPLICA IDENTITY FULL)",
                )
            return Decoded({**envelope, "row": before, "after": before}, "delete")
        after = envelope.get("after")
        if not isinstance(after, dict):
            raise FormatError("unmappable", "has no row after the change")
        is_moved = isinstance(before, dict) and before != after
        old = {**envelope, "row": before, "after": before} if is_moved else None
        return Decoded({**envelope, "row": after}, "state", old)

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key: JSON or framed; the key's columns without their schema."""
        return _payload(unframe(key, schemas, "AVRO") if is_framed(key) else read_key(key))


def _read(raw: bytes, schemas: Schemas) -> Any:
    if not is_framed(raw):
        return read_json(raw)
    schema = schemas.get(int.from_bytes(raw[1:FRAME_BYTES], "big"))
    if schema is not None and schema.kind == "JSON":
        return read_json(raw[FRAME_BYTES:])
    return unframe(raw, schemas, "AVRO")


def _payload(document: Any) -> Any:
    """Leave the schema out that Kafka Connect's JSON converter writes beside what it describes."""
    if isinstance(document, dict) and document.keys() == {"schema", "payload"}:
        return document["payload"]
    return document
