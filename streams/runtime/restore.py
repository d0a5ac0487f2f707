"""Brings a partition's cache up to the end of its changelog, read committed.

A cache that lacks much is filled in bulk: without RocksDB's own log, unsorted, and flushed before
it is opened for use. A crash on the way leaves a position that is behind, never ahead, since it
and the entries are written together and RocksDB keeps whole memtables in their order.
"""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from msgspec import Struct

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.store import CachePosition, Memory, Store, open_store
from leverframe.streams.runtime.topic_ids import read_topic_ids

__all__ = ["Restored", "is_only_copy", "is_trustworthy", "restore"]

# Kafka keeps tombstones for a day (delete.retention.ms); an older cache may have missed some.
STALE_AFTER_MS: Final = 12 * 3600 * 1000
_PATIENCE_S: Final = 60.0
# Two flushes and a second opening take longer than sorting fewer records at once.
_BULK_RECORDS: Final = 100_000
# Other partitions of the worker wait while records are applied.
_STEP_RECORDS: Final = 8_000


class Restored(Struct, frozen=True):
    """A cache at the end of its changelog, to be closed by the caller."""

    store: Store
    applied: int
    topic_id: str


def is_trustworthy(cached: CachePosition | None, begin: int, end: int, now_ms: int) -> bool:
    """Whether a cache can be continued, rather than rebuilt from the changelog's start.

    It cannot where it is new or stale, or where compaction and retention went beyond it.
    """
    return (
        cached is not None
        and begin <= cached.next_offset <= end
        and now_ms - cached.written_at_ms <= STALE_AFTER_MS
    )


def is_only_copy(cached: CachePosition | None, end: int, topic_id: str) -> bool:
    """Whether a cache holds what its changelog has lost: the log was made anew, or cut."""
    if cached is None:
        return False
    is_other_log = bool(cached.topic_id and topic_id) and cached.topic_id != topic_id
    return is_other_log or cached.next_offset > end


async def restore(
    path: Path, memory: Memory, topic: str, partition: int, broker: BrokerSettings
) -> Restored:
    """Open a cache and apply what the changelog holds beyond its position.

    One that cannot be continued is thrown away and restored from the changelog's start; but one
    that holds what the changelog has lost is kept, and refused (``LedgerError``). No other writer
    may be active: the caller has fenced them.
    """
    tp = TopicPartition(topic, partition)
    consuming = open_consumer(
        broker,
        partitions=[tp],
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=20,
    )
    restored: Restored | None = None
    try:
        async with consuming as consumer:
            ids = await read_topic_ids(consumer._client, [topic])  # noqa: SLF001
            restored = await _restored(consumer, tp, path, memory, ids.get(topic, ""))
    except BaseException:
        # Cancelled while the consumer stops: the next owner in this process needs the folder.
        if restored is not None:
            restored.store.close()
        raise
    return restored


async def _restored(
    consumer: Any, tp: TopicPartition, path: Path, memory: Memory, topic_id: str
) -> Restored:
    begin = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    store = open_store(path, memory)
    try:
        cached = store.position
        _refuse_lost_changelog(cached, end, topic_id, tp, path)
        if cached is not None and not is_trustworthy(cached, begin, end, _now_ms()):
            store.close()
            shutil.rmtree(path, ignore_errors=True)
            store, cached = open_store(path, memory), None
        start = begin if cached is None else cached.next_offset
        if start >= end:
            return Restored(store, 0, topic_id)
        consumer.seek(tp, start)
        if end - start < _BULK_RECORDS:
            applied = await _apply(consumer, tp, end, store, topic_id)
            return Restored(store, applied, topic_id)
        store.close()
        store = open_store(path, memory, is_bulk=True)
        applied = await _apply(consumer, tp, end, store, topic_id)
        await _to_its_end(store.flush)
        store.close()
        return Restored(open_store(path, memory), applied, topic_id)
    except BaseException:
        # Cancelled too: the partition left while it was being restored.
        store.close()
        raise


async def _to_its_end(work: Callable[[], None]) -> None:
    """Run in a thread; a cancellation waits for it, since the store is closed next."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _refuse_lost_changelog(
    cached: CachePosition | None, end: int, topic_id: str, tp: TopicPartition, path: Path
) -> None:
    if not is_only_copy(cached, end, topic_id):
        return
    raise LedgerError(
        f"{tp.topic}-{tp.partition} was deleted, made anew or cut: the cache in {path} holds state "
        "that it has lost, and is kept. To write the changelog again from the caches: leverframe "
        "state rebuild. To give the state up: leverframe restart-from, which says what will be "
        "counted and begins above the epoch in force."
    )


async def _apply(consumer: Any, tp: TopicPartition, end: int, store: Store, topic_id: str) -> int:
    """Write what the changelog holds up to ``end``, in steps, each with the position after it."""
    applied = 0
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fetched = await consumer.getmany(tp, timeout_ms=100, max_records=_STEP_RECORDS)
        except OffsetOutOfRangeError:
            # Retention moved the start of the log while we read: go on from there.
            await consumer.seek_to_beginning(tp)
            continue
        position = await consumer.position(tp)
        records = fetched.get(tp, [])
        if records:
            deadline = time.monotonic() + _PATIENCE_S
            applied += len(records)
            store.write(
                [(r.key, r.value) for r in records], CachePosition(position, _now_ms(), topic_id)
            )
        if position >= end:
            store.write([], CachePosition(position, _now_ms(), topic_id))
            return applied
        if time.monotonic() > deadline:
            raise LedgerError(
                f"changelog {tp.topic}-{tp.partition} gave nothing for {_PATIENCE_S:.0f} s "
                f"at offset {position} of {end}. Check the broker; the worker will try again "
                "when restarted."
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
