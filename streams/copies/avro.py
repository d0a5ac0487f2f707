"""Records in Avro: the schema, and what writes a datum of it."""

import io
from typing import Any, Final

import fastavro
import msgspec
from msgspec import Struct

from leverframe.streams.copies.fields import Field, fields_of

__all__ = ["AvroCopy", "avro_schema"]

_NAMESPACE: Final = "leverframe"


def avro_schema(kind: type[Struct]) -> dict[str, Any]:
    """Return the Avro schema of a record; what may be left out has a default."""
    fields = [_field(one) for one in fields_of(kind)]
    return {"type": "record", "name": kind.__name__, "namespace": _NAMESPACE, "fields": fields}


class AvroCopy:
    """Writes a kind of record in Avro.

    Examples
    --------
    >>> from leverframe.schemas.reward import Reward
    >>> AvroCopy(Reward).schema[:40]
    '{"type":"record","name":"Reward","namesp'
    """

    registered_as = "AVRO"

    def __init__(self, kind: type[Struct]) -> None:
        described = avro_schema(kind)
        self.schema = msgspec.json.encode(described).decode()
        self._parsed = fastavro.parse_schema(described)
        self._texts = [one.name for one in fields_of(kind) if one.plain == "json"]

    def encode(self, record: Struct) -> bytes:
        """Return what comes after a registry's frame."""
        told: dict[str, Any] = msgspec.to_builtins(record)
        for name in self._texts:
            if name in told:
                told[name] = msgspec.json.encode(told[name]).decode()
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, told)
        return out.getvalue()


def _field(of: Field) -> dict[str, Any]:
    plain: Any = "string" if of.plain == "json" else of.plain
    match of.form:
        case "list":
            plain = {"type": "array", "items": plain}
        case "map":
            plain = {"type": "map", "values": plain}
        case "single":
            pass
    told = {"name": of.name, "type": ["null", plain] if of.is_nullable else plain}
    return told if of.is_required else told | {"default": of.default}
