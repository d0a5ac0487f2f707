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

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.store import CachePosition, Memory, Store, open_store

__all__ = ["is_trustworthy", "restore"]

# Kafka keeps tombstones for a day (delete.retention.ms); an older cache may have missed some.
STALE_AFTER_MS: Final = 12 * 3600 * 1000
_PATIENCE_S: Final = 60.0
# Two flushes and a second opening take longer than sorting fewer records at once.
_BULK_RECORDS: Final = 100_000
# Other partitions of the worker wait while records are applied.
_STEP_RECORDS: Final = 8_000


def is_trustworthy(cached: CachePosition | None, begin: int, end: int, now_ms: int) -> bool:
    """Whether a cache can be continued, rather than rebuilt from the changelog's start.

    It cannot where it is new, stale or outside the log (``begin`` to before ``end``), as after the
    topic was made anew.
    """
    return (
        cached is not None
        and begin <= cached.next_offset <= end
        and now_ms - cached.written_at_ms <= STALE_AFTER_MS
    )


async def restore(
    path: Path, memory: Memory, topic: str, partition: int, broker: BrokerSettings
) -> tuple[Store, int]:
    """Open a cache and apply what the changelog holds beyond its position.

    One that cannot be continued is thrown away and restored from the changelog's start. No other
    writer may be active: the caller has fenced them. Returns the cache, to be closed by the caller,
    and the number of records applied.
    """
    tp = TopicPartition(topic, partition)
    consuming = open_consumer(
        broker,
        partitions=[tp],
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=20,
    )
    store: Store | None = None
    try:
        async with consuming as consumer:
            store, applied = await _restored(consumer, tp, path, memory)
    except BaseException:
        # Cancelled while the consumer stops: the next owner in this process needs the folder.
        if store is not None:
            store.close()
        raise
    return store, applied


async def _restored(
    consumer: Any, tp: TopicPartition, path: Path, memory: Memory
) -> tuple[Store, int]:
    begin = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    store = open_store(path, memory)
    try:
        cached = store.position
        if cached is not None and not is_trustworthy(cached, begin, end, _now_ms()):
            store.close()
            shutil.rmtree(path, ignore_errors=True)
            store, cached = open_store(path, memory), None
        start = begin if cached is None else cached.next_offset
        if start >= end:
            return store, 0
        consumer.seek(tp, start)
        if end - start < _BULK_RECORDS:
            return store, await _apply(consumer, tp, end, store)
        store.close()
        store = open_store(path, memory, is_bulk=True)
        applied = await _apply(consumer, tp, end, store)
        await _to_its_end(store.flush)
        store.close()
        return open_store(path, memory), applied
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


async def _apply(consumer: Any, tp: TopicPartition, end: int, store: Store) -> int:
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
            store.write([(r.key, r.value) for r in records], CachePosition(position, _now_ms()))
        if position >= end:
            store.write([], CachePosition(position, _now_ms()))
            return applied
        if time.monotonic() > deadline:
            raise LedgerError(
                f"changelog {tp.topic}-{tp.partition} gave nothing for {_PATIENCE_S:.0f} s "
                f"at offset {position} of {end}. Check the broker; the worker will try again "
                "when restarted."
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
