"""Writes a lost changelog again from a partition's cache, which is then the only copy.

Positions come last: a changelog without them is one that was not written to its end, and is begun
again; one with them has been written to by a worker since, and is never overwritten.
"""

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, Literal

from aiokafka import TopicPartition
from msgspec import Struct

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.lanes import open_producer, transactional_id
from leverframe.streams.runtime.ledger import FIRST_AGENT_KEY, POSITIONS_KEY, LedgerSettings
from leverframe.streams.runtime.restore import is_only_copy
from leverframe.streams.runtime.store import CachePosition, Store, open_store
from leverframe.streams.runtime.topic_ids import read_topic_ids
from leverframe.streams.runtime.transactions import Transaction

__all__ = ["Rebuilt", "rebuild_changelog"]

_STEP_ENTRIES: Final = 5_000


class Rebuilt(Struct, frozen=True):
    """What became of one partition.

    Attributes
    ----------
    state : {"rebuilt", "in step", "no cache"}
        ``in step``: the changelog holds all that the cache does, and nothing was written.
    entries : int
        That were written.
    written_at_ms : int
        When the cache was last written; 0 without one.
    """

    state: Literal["rebuilt", "in step", "no cache"]
    entries: int = 0
    written_at_ms: int = 0


async def rebuild_changelog(settings: LedgerSettings, partition: int) -> Rebuilt:
    """Write a partition's changelog again, where it lost what the cache holds.

    No worker may run. Raises ``LedgerError`` where the changelog was written to since.
    """
    path = settings.datadir / settings.agent / str(partition)
    if not path.exists():
        return Rebuilt("no cache")
    producer = await open_producer(settings, transactional_id(settings, partition))
    try:
        store = open_store(path, settings.memory)
        try:
            return await _rebuilt(settings, partition, store, producer)
        finally:
            store.close()
    finally:
        await producer.stop()


async def _rebuilt(
    settings: LedgerSettings, partition: int, store: Store, producer: Any
) -> Rebuilt:
    tp = TopicPartition(settings.changelog, partition)
    cached = store.position
    if cached is None:
        return Rebuilt("no cache")
    async with open_consumer(settings.broker, partitions=[tp]) as consumer:
        topic_id = (await read_topic_ids(consumer._client, [tp.topic])).get(tp.topic, "")  # noqa: SLF001
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        if not is_only_copy(cached, end, topic_id):
            return Rebuilt("in step", 0, cached.written_at_ms)
        if await _holds_positions(consumer, tp, begin, end):
            raise LedgerError(
                f"{tp.topic}-{partition} was written to by a worker after it was made anew, so the "
                f"cache in {store.path} is older. Nothing was changed. To give one of the two up, "
                "delete it; leverframe restart-from gives up both"
            )
    positions = [*store.scan(POSITIONS_KEY, POSITIONS_KEY + b"\x00")]
    if not positions:
        return Rebuilt("no cache")
    rest = (entry for entry in store.scan(FIRST_AGENT_KEY) if entry[0] != POSITIONS_KEY)
    entries = 0
    while step := [*islice(rest, _STEP_ENTRIES)]:
        await _publish(producer, tp, step)
        entries += len(step)
    next_offset = await _publish(producer, tp, positions)
    now_ms = time.time_ns() // 1_000_000
    store.write([], CachePosition(next_offset, now_ms, topic_id))
    return Rebuilt("rebuilt", entries, cached.written_at_ms)


async def _publish(
    producer: Any, tp: TopicPartition, entries: Sequence[tuple[bytes, bytes]]
) -> int:
    transaction = Transaction(producer)
    transaction.add_all(tp, entries)
    return (await transaction.run())[tp]


async def _holds_positions(consumer: Any, tp: TopicPartition, begin: int, end: int) -> bool:
    """Whether a worker committed there: each commit writes its positions."""
    await consumer.seek_to_beginning(tp)
    while begin < end and await consumer.position(tp) < end:
        fetched = await consumer.getmany(tp, timeout_ms=200)
        if any(record.key == POSITIONS_KEY for record in fetched.get(tp, [])):
            return True
    return False
