"""Header keys that are not UTF-8, at the level of aiokafka where they hurt."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord
from odd_headers import RawKey

from leverframe.serving.patches import FetchedRecord, make_light_records, read_any_record


def batch(base_offset: int, headers: list[list[tuple[str, bytes]]]) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 100_000)
    for at, own in enumerate(headers):
        builder.append(at, 1, key=b"k", value=b"%d" % (base_offset + at), headers=own)
    raw = bytearray(builder.build())
    raw[:8] = base_offset.to_bytes(8, "big")
    return bytes(raw)


def unpacked(raw: bytes, start: int = 0) -> list[Any]:
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(raw), [], start, None, None, True, 0
    )
    return list(records)


def aiokafkas_own() -> Any:
    records = fetcher.PartitionRecords
    return next(kind for kind in records.__mro__ if kind.__module__ == fetcher.__name__)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
    # Another test of this process may have made them light.
    monkeypatch.setattr(fetcher, "PartitionRecords", aiokafkas_own())
    read_any_record()


BAD = batch(3, [[], [(RawKey("x"), b"v")], []])
FETCH = batch(0, [[], [("good", b"v")], []]) + BAD + batch(6, [[]])


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_headers_of_any_bytes_keep_every_record_once(start: int) -> None:
    """Records before, with and after such a header come once each, in order."""
    # A broker's answer begins with the batch that holds the offset asked for.
    found = unpacked(FETCH if start < 3 else BAD + batch(6, [[]]), start)
    assert [record.offset for record in found] == list(range(start, 7))
    assert [int(record.value) for record in found] == list(range(start, 7))


@pytest.mark.usefixtures("lenient")
def test_headers_that_are_utf8_stay_as_they_are() -> None:
    """Good keys are untouched; bad ones are escaped."""
    keys = {record.offset: [key for key, _ in record.headers] for record in unpacked(FETCH)}
    assert keys[1] == ["good"]
    assert keys[4] == ["\\xff\\xfe"]


@pytest.mark.usefixtures("lenient")
def test_records_of_others_stay_as_aiokafka_makes_them() -> None:
    """A serving system consumes for itself, too; only the job gets lighter records."""
    assert {type(record) for record in unpacked(FETCH)} == {ConsumerRecord}
    make_light_records()
    assert {type(record) for record in unpacked(FETCH)} == {FetchedRecord}
    read_any_record()
    assert {type(record) for record in unpacked(FETCH)} == {FetchedRecord}


def test_aiokafka_still_needs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift ``serving.patches`` when this fails: aiokafka decodes such keys by itself."""
    monkeypatch.setattr(fetcher, "PartitionRecords", aiokafkas_own())
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    with pytest.raises(UnicodeDecodeError):
        unpacked(BAD, 3)
