"""Everything that is changed in aiokafka, in one place; each patch says when to lift it.

**Brokers that go and come** (``outlive_brokers``, for every client): aiokafka's clients live
through it, under uvloop as under asyncio. Three gaps of aiokafka 0.14, each seen in a drill; lift
what it closes itself.

- uvloop refuses to write to a connection that was reset a moment ago with ``RuntimeError``, where
  asyncio drops what is written; aiokafka takes ``OSError`` alone for a broken connection. In the
  few iterations of the loop before the reset is noticed, that error ended the task that keeps a
  client's metadata, and what waits for metadata waited for ever: a transaction until its time was
  over, a subscriber on its safe weights. It ended producers, too.
- A connection that breaks under the question for a coordinator ends a transactional producer.
- A consumer that looks for the end of a partition asks the broker that led it before, until its
  metadata grows old (5 minutes), though that broker says that it does not lead any more.

**Records that cannot be read** (``read_any_record``, for whoever reads what others produced):
aiokafka decodes header keys while it unpacks a fetch. A key that is not UTF-8, which producers
built on librdkafka can write, raises ``UnicodeDecodeError`` below Faust: the records before it in
the fetch are skipped, the fetcher ends, and so does every restart at the same record. Here such a
batch is read again by aiokafka's own pure-Python reader with such keys escaped. Lift this when
aiokafka reads such keys, or hands them over undecoded.

**Light records** (``make_light_records``, for the job): aiokafka makes a frozen dataclass of each
record, which takes longer than reading it; the job gets a plain struct.

**The wait between transactions** (``shorten_transaction_wait``, for the job): a transaction is over
for its producer before the broker has written all its markers; the next one has to wait. aiokafka
then waits a fixed 20 ms. The markers take a fraction of a millisecond to a few, and every label
waits for two transactions in series, so most of the time from label to control message was this
wait: at 1,000 events/s p99 was 152 ms with it and 59 ms with ``TRANSACTION_WAIT_S`` (``python -m
bench.latency``, one run each, 2 cores). Lift this when aiokafka has a setting for it.
"""

from collections.abc import Iterator
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError
from aiokafka.producer import sender
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from msgspec import Struct

from leverframe.schemas.errors import LeverframeError

__all__ = [
    "TRANSACTION_WAIT_S",
    "FetchedRecord",
    "make_light_records",
    "outlive_brokers",
    "read_any_record",
    "shorten_transaction_wait",
]

TRANSACTION_WAIT_S: Final = 0.001
_WAIT_NAME: Final = "BACKOFF_OVERRIDE"

_send = AIOKafkaConnection.send
_look_up = AIOKafkaClient.coordinator_lookup
_ask_offsets = fetcher.Fetcher._proc_offset_request  # noqa: SLF001 - the gap is there


def outlive_brokers() -> None:
    """Let all clients of this process live through brokers that go and come."""
    AIOKafkaConnection.send = _sent
    AIOKafkaClient.coordinator_lookup = _looked_up
    fetcher.Fetcher._proc_offset_request = _asked_offsets  # noqa: SLF001


def _sent(
    connection: AIOKafkaConnection,
    request: Any,
    expect_response: bool = True,  # noqa: FBT001, FBT002 - aiokafka's signature
) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise NodeNotReadyError(f"the connection was closed: {error}") from error


async def _looked_up(client: AIOKafkaClient, kind: Any, key: str) -> Any:
    try:
        return await _look_up(client, kind, key)
    except KafkaConnectionError as error:
        raise NodeNotReadyError(f"no answer to who coordinates {key}: {error}") from error


async def _asked_offsets(fetching: fetcher.Fetcher, node_id: int, topic_data: Any) -> Any:
    try:
        return await _ask_offsets(fetching, node_id, topic_data)
    except KafkaError as error:
        if getattr(error, "invalid_metadata", False):
            fetching._client.force_metadata_update()  # noqa: SLF001
        raise


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
        unread = _MemoryRecordsPy(raw)
        while unread._next_slice is not None:  # noqa: SLF001 - it offers nothing public
            view = unread._next_slice  # noqa: SLF001
            unread._cache_next()  # noqa: SLF001
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


class _AnyPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc] # untyped
    """Goes on where a header key could not be decoded."""

    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        kept = self._records
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            self._records = _EscapedRecords(kept.raw, self.next_fetch_offset)
            yield from super()._unpack_records()


class _LightPartitionRecords(_AnyPartitionRecords):
    """Makes plain structs of the records, too."""

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
    """Let all consumers of this process read records whose header keys are not UTF-8.

    What they give stays what aiokafka gives: in a serving system others consume, too.
    """
    fetcher.MemoryRecords = _KeptRecords
    if not issubclass(fetcher.PartitionRecords, _AnyPartitionRecords):
        fetcher.PartitionRecords = _AnyPartitionRecords


def make_light_records() -> None:
    """Let all consumers of this process give ``FetchedRecord``, and read any record."""
    read_any_record()
    fetcher.PartitionRecords = _LightPartitionRecords


def shorten_transaction_wait() -> None:
    """Let transactional producers of this process ask again after ``TRANSACTION_WAIT_S``.

    Raises
    ------
    LeverframeError
        If this aiokafka has no such wait: the pins and this module must go together.
    """
    if not hasattr(sender, _WAIT_NAME):
        raise LeverframeError(
            "this aiokafka is not the one that Leverframe was tested with; install the pinned one"
        )
    setattr(sender, _WAIT_NAME, TRANSACTION_WAIT_S)
