"""What every input record must have before its content counts: key, value, size, agreement."""

from collections.abc import Callable
from typing import Final, Protocol

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

__all__ = [
    "InputRecord",
    "check_envelope",
    "check_key",
    "check_name",
    "check_partition",
    "dead_letter",
    "key_of",
]


# As schemas.fields.EpochMs has it: the end of the year 9999.
LATEST_MS: Final = 253_402_300_799_999


class InputRecord(Protocol):
    """A Kafka record as the transport hands it over; ``timestamp`` is its record time in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def dead_letter(record: InputRecord, error: RecordError) -> DeadLetter:
    """Set a record aside with its reason.

    With the raw bytes and the coordinates.
    """
    return DeadLetter(
        key=record.key,
        value=record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=error.reason,
        detail=error.detail,
    )


def check_envelope(record: InputRecord, max_value_bytes: int) -> bytes:
    """Return the value of a record that has a key and a value of acceptable size.

    Raises ``RecordError``: ``invalid``, ``missing_key``, ``tombstone`` or ``oversized``.
    """
    value = record.value
    if not 0 <= record.timestamp <= LATEST_MS:
        raise RecordError(
            "invalid",
            f"the record time is {record.timestamp} ms; let the producer give the time at which it "
            "writes, or none",
        )
    if record.key is None:
        raise RecordError("missing_key", "the record has no key; it must be the request_id")
    if value is None:
        raise RecordError("tombstone", "the record has no value")
    if len(value) > max_value_bytes:
        raise RecordError(
            "oversized", f"the value has {len(value)} bytes, at most {max_value_bytes} are accepted"
        )
    return value


def check_key(key: bytes | None, expected: str, field: str) -> None:
    """Refuse a record whose key is not the identifier that its value states.

    Raises ``RecordError``: ``key_mismatch``, or ``invalid`` for an identifier that begins with NUL.
    """
    if key != expected.encode():
        raise RecordError(
            "key_mismatch", f"the key is {key!r:.200}, {field} is {expected!r}: they must be equal"
        )
    check_name(expected, field)


def key_of(record: Prediction | GroundTruth) -> str:
    """Return what must be the key of a half: all turns of a session lie in one partition.

    Examples
    --------
    >>> key_of(GroundTruth(request_id="turn-2", label=1, session_id="chat-7"))
    'chat-7'
    """
    return record.request_id if record.session_id is None else record.session_id


def check_partition(record: InputRecord, partition_of: Callable[[bytes], int]) -> None:
    """Refuse a record that lies where its route is not: its state would split in two.

    Raises ``RecordError``: ``wrong_partition``, with the producer setting that cures it.
    """
    if record.key is not None and record.partition != (home := partition_of(record.key)):
        raise RecordError(
            "wrong_partition",
            f"it lies in partition {record.partition}, its key belongs into {home}. Set the "
            "producer's partitioner to murmur2 (librdkafka: partitioner=murmur2_random).",
        )


def check_name(name: str, field: str) -> None:
    """Refuse a name that the ledger could take for one of its own keys.

    Raises ``RecordError``: ``invalid`` for a name that begins with NUL.
    """
    if name < "\x01":
        raise RecordError("invalid", f"{field} must not begin with NUL")
