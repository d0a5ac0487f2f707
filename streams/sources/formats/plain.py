"""Plain JSON, and keys as producers write them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from leverframe.streams.sources.documents import Decoded, FormatError, Schemas

__all__ = ["JsonFormat", "read_json", "read_key"]

_ERRORS: Final = (orjson.JSONDecodeError, msgspec.MsgspecError, RecursionError)
_STRUCTURED: Final = (b'"', b"{", b"[")


def read_json(value: bytes) -> Any:
    """Decode JSON; raises ``FormatError``."""
    try:
        return orjson.loads(value)
    except _ERRORS as error:
        raise FormatError("unreadable", f"is not JSON: {error}") from error


def read_key(key: bytes) -> Any:
    """Decode a key: JSON where it is a text, an object or a list of JSON, else the text itself.

    Kafka Connect's converters quote a text; an id of digits is no number.

    Examples
    --------
    >>> read_key(b'"a-1"'), read_key(b"a-1"), read_key(b'{"id": 7}'), read_key(b"0017")
    ('a-1', 'a-1', {'id': 7}, '0017')
    """
    if key.startswith(_STRUCTURED):
        try:
            return orjson.loads(key)
        except _ERRORS:
            pass  # a text that begins so
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise FormatError("unreadable", f"the key is {key!r:.80}, not UTF-8") from error


class JsonFormat:
    """A value is a JSON document."""

    is_framed = False
    passes_tombstones = False

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del headers, schemas
        return Decoded(read_json(value))

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key; raises ``FormatError``."""
        del schemas
        return read_key(key)
