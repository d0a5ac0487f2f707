"""How a fetch becomes micro-batches: cheap, in order, none too large."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["slices"]

MAX_RECORDS: Final = 4000
MAX_BYTES: Final = 4 << 20


def slices(
    records: Sequence[Any], max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES
) -> Iterator[Sequence[Any]]:
    """Cut what one fetch brought for one partition into micro-batches.

    Each holds at most ``max_records`` and ``max_bytes`` of keys and values; a single record that is
    larger goes alone.
    """
    # Nearly every fetch is small enough as a whole, and to see that costs little.
    if len(records) <= max_records and _size(records) <= max_bytes:
        if records:
            yield records
        return
    begin, size = 0, 0
    for at, record in enumerate(records):
        length = len(record.key or b"") + len(record.value or b"")
        if at > begin and (at - begin >= max_records or size + length > max_bytes):
            yield records[begin:at]
            begin, size = at, 0
        size += length
    yield records[begin:]


def _size(records: Sequence[Any]) -> int:
    """Bytes of keys and values."""
    return sum([len(r.key or b"") + len(r.value or b"") for r in records])
