"""The frame that registry clients put before a value: a zero byte, then the schema's id."""

from typing import Final

from leverframe.streams.sources.documents import FormatError, Schema, Schemas

__all__ = ["FRAME_BYTES", "is_framed", "schema_id", "schema_of", "unframe"]

MAGIC: Final = 0
FRAME_BYTES: Final = 5


def is_framed(raw: bytes) -> bool:
    """Whether bytes begin as a frame does; no JSON and no text does."""
    return len(raw) >= FRAME_BYTES and raw[0] == MAGIC


def schema_id(raw: bytes) -> int:
    """Return the id in a frame."""
    return int.from_bytes(raw[1:FRAME_BYTES], "big")


def schema_of(raw: bytes, schemas: Schemas, kind: str) -> Schema:
    """Return the schema that framed bytes were written with, of the kind that was expected.

    Raises ``FormatError``: ``unreadable`` without a frame or with another kind of schema,
    ``unknown_schema`` where the registry does not have it.
    """
    if not is_framed(raw):
        raise FormatError(
            "unreadable",
            f"begins with {raw[:FRAME_BYTES].hex(' ') or 'nothing'}, not with the frame of a "
            "registry client (a zero byte and the schema's id); is the format another?",
        )
    number = schema_id(raw)
    schema = schemas.get(number)
    if schema is None or schema.problem:
        why = "was not asked for" if schema is None else schema.problem
        raise FormatError("unknown_schema", f"schema {number}: {why}")
    if schema.kind != kind:
        raise FormatError(
            "unreadable", f"schema {number} is {schema.kind}, the source's format says {kind}"
        )
    return schema


def unframe(raw: bytes, schemas: Schemas, kind: str) -> object:
    """Read framed bytes by their schema; raises ``FormatError``."""
    schema = schema_of(raw, schemas, kind)
    try:
        return schema.read(raw[FRAME_BYTES:])
    except FormatError:
        raise
    except Exception as error:  # readers of three libraries, and bytes that anybody may send
        raise FormatError(
            "unreadable", f"cannot be read by schema {schema_id(raw)}: {error!r:.200}"
        ) from error
