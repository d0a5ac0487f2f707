"""JSON behind a registry's frame; what it may hold was checked by whoever wrote it."""

from collections.abc import Mapping
from typing import Any

from leverframe.streams.sources.documents import Decoded, FormatError, Schemas
from leverframe.streams.sources.formats.plain import read_json, read_key
from leverframe.streams.sources.framing import FRAME_BYTES, is_framed

__all__ = ["JsonSchemaFormat"]


class JsonSchemaFormat:
    """A value is a frame, then a JSON document; no schema is needed to read it."""

    is_framed = False
    passes_tombstones = False

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del headers, schemas
        if not is_framed(value):
            raise FormatError(
                "unreadable",
                f"begins with {value[:FRAME_BYTES].hex(' ') or 'nothing'}, not with the frame of "
                'a registry client; where values are plain JSON, format = "json"',
            )
        return Decoded(read_json(value[FRAME_BYTES:]))

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key, framed or not; raises ``FormatError``."""
        del schemas
        return read_json(key[FRAME_BYTES:]) if is_framed(key) else read_key(key)
