"""Avro behind a registry's frame, read with the schema it was written with."""

import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.utils import generate_one

from leverframe.streams.sources.documents import Decoded, Reading, Schemas
from leverframe.streams.sources.formats.plain import read_key
from leverframe.streams.sources.framing import is_framed, unframe

__all__ = ["AvroFormat", "avro_example", "avro_reading"]


class AvroFormat:
    """A value is a frame, then an Avro datum."""

    is_framed = True
    passes_tombstones = False

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del headers
        return Decoded(unframe(value, schemas, "AVRO"))

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key, framed or not; raises ``FormatError``."""
        return unframe(key, schemas, "AVRO") if is_framed(key) else read_key(key)


def avro_reading(text: str, references: Iterable[str] = ()) -> Reading:
    """Return what reads data written with a schema; references are given before who needs them.

    Raises ``ValueError`` where the text is no Avro schema.
    """
    references = [*references]
    schema = _parsed(text, references)
    has_decimals = '"decimal"' in text or any('"decimal"' in one for one in references)

    def read(raw: bytes) -> Any:
        datum = fastavro.schemaless_reader(io.BytesIO(raw), schema, None)
        return _without_decimals(datum) if has_decimals else datum

    return read


def avro_example(text: str, references: Iterable[str] = ()) -> Any:
    """Return a datum with something for each field; raises ``ValueError`` as ``avro_reading``."""
    return _without_decimals(generate_one(_parsed(text, references)))


def _parsed(text: str, references: Iterable[str]) -> Any:
    named: dict[str, Any] = {}
    try:
        for reference in references:
            fastavro.parse_schema(orjson.loads(reference), named)
        return fastavro.parse_schema(orjson.loads(text), named)
    except (SchemaParseException, UnknownType, orjson.JSONDecodeError, KeyError) as error:
        raise ValueError(f"is no Avro schema: {error!r:.200}") from error


def _without_decimals(datum: Any) -> Any:
    """Numbers that expressions can compare."""
    if isinstance(datum, Decimal):
        return float(datum)
    if isinstance(datum, dict):
        return {name: _without_decimals(value) for name, value in datum.items()}
    if isinstance(datum, list):
        return [_without_decimals(value) for value in datum]
    return datum
