"""How a fetch becomes records: cheap ones, and none that can take the worker down.

aiokafka makes a frozen dataclass of each record, which takes longer than reading it; here it is a
plain struct.

aiokafka decodes header keys while it unpacks a fetch. A key that is not UTF-8, which producers
built on librdkafka can write, raises ``UnicodeDecodeError`` below Faust: the records before it in
the fetch are skipped, the fetcher ends, and so does every restart at the same record. Here such a
batch is read again by aiokafka's own pure-Python reader with such keys escaped. Lift this when
aiokafka does.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from msgspec import Struct

__all__ = ["FetchedRecord", "read_any_record"]


class FetchedRecord(Struct, gc=False):
    """A record as it was fetched; the fields of aiokafka's that anybody here looks at.

    Attributes
    ----------
    topic, partition, offset
        Where it lies.
    timestamp : int
        Record time, ms since the epoch.
    timestamp_type : int
        0 where the producer gave the time, 1 where the broker did.
    key, value : bytes or None
        As on the wire.
    headers : tuple of (str, bytes)
        As on the wire.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class _KeptRecords:
    """aiokafka's compiled reader, with the bytes it reads at hand."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        records = MemoryRecords(raw)
        self.has_next = records.has_next
        self.next_batch = records.next_batch
        self.size_in_bytes = records.size_in_bytes


class _Escaping(bytearray):
    """Bytes whose slices decode with backslash escapes instead of raising."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Escaping(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        del errors
        return super().decode(encoding, "backslashreplace")


class _EscapedRecords:
    """The batches of a fetch from an offset on, read in Python."""

    def __init__(self, raw: bytes, offset: int) -> None:
        self._batches = [batch for batch in self._read(raw) if batch.next_offset > offset]

    @staticmethod
    def _read(raw: bytes) -> Iterator[Any]:
        slices = _MemoryRecordsPy(raw)
        while slices._next_slice is not None:  # noqa: SLF001 - it offers nothing public
            view = slices._next_slice  # noqa: SLF001
            slices._cache_next()  # noqa: SLF001
            batch: Any = _DefaultRecordBatchPy(view)
            is_intact = batch.validate_crc()
            batch.validate_crc = lambda is_intact=is_intact: is_intact  # not after unpacking
            batch._maybe_uncompress()  # noqa: SLF001
            batch._buffer = _Escaping(batch._buffer)  # noqa: SLF001
            yield batch

    def has_next(self) -> bool:
        """Whether a batch is left."""
        return bool(self._batches)

    def next_batch(self) -> Any:
        """Return the next batch."""
        return self._batches.pop(0)


class _OurPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc] # untyped
    """Makes our records, and goes on where a header key could not be decoded."""

    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        kept = self._records
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            self._records = _EscapedRecords(kept.raw, self.next_fetch_offset)
            yield from super()._unpack_records()

    def _consumer_record(self, tp: Any, record: Any) -> FetchedRecord:
        headers = record.headers
        return FetchedRecord(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            record.timestamp_type,
            record.key,
            record.value,
            tuple(headers) if headers else (),
        )


def read_any_record() -> None:
    """Make every aiokafka consumer of this process read records as this module does."""
    fetcher.MemoryRecords = _KeptRecords
    fetcher.PartitionRecords = _OurPartitionRecords
