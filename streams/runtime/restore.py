"""Brings a partition's cache up to the end of its changelog, read committed."""

import logging
import time
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from schemas.errors import LedgerError
from streams.runtime.kafka import BrokerSettings, client_options
from streams.runtime.store import Place, Store

__all__ = ["is_trustworthy", "restore"]

log = logging.getLogger(__name__)

# Kafka keeps tombstones for a day (delete.retention.ms); an older cache may have missed some.
STALE_AFTER_MS: Final = 12 * 3600 * 1000
_PATIENCE_S: Final = 60.0


def is_trustworthy(place: Place | None, begin: int, end: int, now_ms: int) -> bool:
    """Whether a cache can be continued, rather than rebuilt from the changelog's start.

    Parameters
    ----------
    place : Place or None
        Where the cache stands.
    begin : int
        First and next offset of the changelog partition.
    end : int
        As for ``begin``.
    now_ms : int
        Wall time, ms since the epoch.

    Returns
    -------
    bool
        False for a new cache, one outside the log (as after the topic was made anew), or a stale
        one.
    """
    return (
        place is not None
        and begin <= place.next_offset <= end
        and now_ms - place.written_at_ms <= STALE_AFTER_MS
    )


async def restore(
    store: Store, topic: str, partition: int, broker: BrokerSettings
) -> tuple[int, bool]:
    """Apply what the changelog holds beyond the cache's place.

    Parameters
    ----------
    store : Store
        The cache; changed.
    topic
        Of the changelog. No other writer may be active: the caller has fenced them.
    partition
        As for ``topic``.
    broker : BrokerSettings
        How to reach Kafka.

    Returns
    -------
    tuple of int and bool
        Records applied, and whether the cache must be thrown away and restored anew.

    Raises
    ------
    LedgerError
        If the changelog cannot be read for a minute.
    """
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **client_options(broker),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        place = store.place
        if place is not None and not is_trustworthy(place, begin, end, _now_ms()):
            return 0, True
        start = begin if place is None else place.next_offset
        if start >= end:
            return 0, False
        consumer.seek(tp, start)
        return await _apply(consumer, tp, end, store), False
    finally:
        await consumer.stop()


async def _apply(consumer: Any, tp: TopicPartition, end: int, store: Store) -> int:
    applied = 0
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fetched = await consumer.getmany(tp, timeout_ms=100)
        except OffsetOutOfRangeError:
            # Retention moved the start of the log while we read: go on from there.
            await consumer.seek_to_beginning(tp)
            continue
        position = await consumer.position(tp)
        records = fetched.get(tp, [])
        if records:
            deadline = time.monotonic() + _PATIENCE_S
            applied += len(records)
            store.write([(r.key, r.value) for r in records], Place(position, _now_ms()))
        if position >= end:
            store.write([], Place(position, _now_ms()))
            return applied
        if time.monotonic() > deadline:
            raise LedgerError(
                f"changelog {tp.topic}-{tp.partition} gave nothing for {_PATIENCE_S:.0f} s "
                f"at offset {position} of {end}. Check the broker; the worker will try again "
                "when restarted."
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
