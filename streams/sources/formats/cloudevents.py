"""CloudEvents 1.0 over Kafka, in both content modes of its protocol binding.

A document holds the attributes (``id``, ``type``, ``source``, ``time``, extensions) and ``data``.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

from leverframe.streams.sources.documents import Decoded, FormatError, Schemas
from leverframe.streams.sources.formats.plain import read_json, read_key

__all__ = ["CloudEventsFormat"]

_PREFIX: Final = "ce_"
_REQUIRED: Final = ("id", "source", "specversion", "type")


class CloudEventsFormat:
    """Attributes in headers and data in the value (binary), or all in the value (structured)."""

    is_framed = False
    passes_tombstones = False

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del schemas
        content_type = _text(headers.get("content-type"))
        if content_type.startswith("application/cloudevents-batch"):
            raise FormatError("unreadable", "is a batch of events, which Kafka's binding forbids")
        if content_type.startswith("application/cloudevents") or "ce_specversion" not in headers:
            return Decoded(_structured(value))
        event: dict[str, Any] = {
            name.removeprefix(_PREFIX): _text(raw)
            for name, raw in headers.items()
            if name.startswith(_PREFIX)
        }
        _require(event)
        if content_type:
            event["datacontenttype"] = content_type
        event["data"] = read_json(value) if _is_json(content_type) else _content(value)
        return Decoded(event)

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key; raises ``FormatError``."""
        del schemas
        return read_key(key)


def _structured(value: bytes) -> dict[str, Any]:
    event = read_json(value)
    if not isinstance(event, dict):
        raise FormatError("unreadable", "is no event: a JSON object was expected")
    _require(event)
    if "data_base64" in event:
        try:
            raw = base64.b64decode(event["data_base64"], validate=True)
        except (ValueError, TypeError) as error:
            raise FormatError("unreadable", f"data_base64: {error}") from error
        is_json = _is_json(str(event.get("datacontenttype", "")))
        event["data"] = read_json(raw) if is_json else _content(raw)
    return event


def _require(event: Mapping[str, Any]) -> None:
    if missing := [name for name in _REQUIRED if not event.get(name)]:
        raise FormatError(
            "unreadable", f"is no CloudEvent: it has no {', '.join(missing)}, in headers or value"
        )


def _is_json(content_type: str) -> bool:
    """Whether data is JSON; it is where nothing is said."""
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or kind.endswith(("/json", "+json"))


def _content(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
