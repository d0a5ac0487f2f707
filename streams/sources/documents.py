"""What a format makes of a record, and what can be wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

__all__ = [
    "Change",
    "Decoded",
    "Format",
    "FormatError",
    "Incoming",
    "Reading",
    "Schema",
    "Schemas",
    "SourceRecord",
]

Reading: TypeAlias = Callable[[bytes], Any]
"""From the bytes behind a schema's frame to a document."""


class SourceRecord(Protocol):
    """A Kafka record as the transport hands it over; ``timestamp`` is its record time in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any


class Schema(Struct, frozen=True):
    """A schema of the registry, ready to read with; or why it cannot be had.

    Attributes
    ----------
    kind : str
        ``AVRO``, ``PROTOBUF`` or ``JSON``.
    read : callable
        See ``Reading``.
    problem : str
        Empty where there is none.
    """

    kind: str
    read: Reading
    problem: str = ""


Schemas: TypeAlias = Mapping[int, Schema]
"""The schemas that the records at hand were written with, by id."""


class FormatError(ValueError):
    """A record is not what its format says; ``reason`` is that of the dead letter."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


Change: TypeAlias = Literal["state", "delete", "skip"]


class Decoded(Struct):
    """A record's document.

    Attributes
    ----------
    document : Any
        The root of all paths.
    change : {"state", "delete", "skip"}
        What it says: this is so, this is not so any more, or nothing for us.
    before : Any
        The document as it would be of the row before an update; None where that is not told.
    """

    document: Any
    change: Change = "state"
    before: Any = None


class Incoming(Struct):
    """What the fields of one record are read from."""

    document: Any
    key: Any
    headers: Mapping[str, bytes | None]


class Format(Protocol):
    """How records of a source are written."""

    # Whether values and keys may bear the id of a schema.
    is_framed: bool
    # Whether a record without a value is no fault, but passed over.
    passes_tombstones: bool

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key; raises ``FormatError``."""
