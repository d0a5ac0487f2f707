"""Reads topics to the end that they have now, or back from it, read committed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings

__all__ = ["read_back", "read_since", "read_to_end", "unreadable"]

Kept = TypeVar("Kept")

_SILENCE_S: Final = 30.0
_FIRST_PORTION: Final = 2_000


async def read_to_end(broker: BrokerSettings, partitions: Sequence[TopicPartition]) -> list[Any]:
    """Read everything that is committed in partitions that exist.

    Records of one partition come as they lie, partitions in the order in which fetches came. Raises
    ``BrokerError`` if no broker answers, or one gives nothing for half a minute.
    """
    async with _consumer(broker, partitions) as consumer:
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        async for found in _up_to(consumer, ends):
            records += found
        return records


async def read_since(
    broker: BrokerSettings,
    partitions: Sequence[TopicPartition],
    since_ms: int,
    keep: Callable[[Any], Kept | None],
) -> list[Kept]:
    """Read partitions from the first record that was written at a time or later, to their ends.

    Returns what ``keep`` makes of each record, in their order within a partition. Raises
    ``BrokerError`` if no broker answers, or one gives nothing for half a minute.
    """
    async with _consumer(broker, partitions) as consumer:
        ends = await consumer.end_offsets(partitions)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms)))
        for tp in partitions:
            at = found.get(tp)
            consumer.seek(tp, ends[tp] if at is None else at.offset)
        kept: list[Kept] = []
        async for records in _up_to(consumer, ends):
            kept += (one for record in records if (one := keep(record)) is not None)
        return kept


async def read_back(
    broker: BrokerSettings,
    tp: TopicPartition,
    keep: Callable[[Any], bool],
    is_enough: Callable[[list[Any]], bool],
) -> list[Any]:
    """Read a partition back from its end, in portions that grow; return what was kept, as it lies.

    ``keep`` says whether a record is wanted, others are let go at once; ``is_enough`` is asked
    after each portion, with what was kept of it, oldest first. Raises ``BrokerError`` if no broker
    answers, or one gives nothing for half a minute.
    """
    async with _consumer(broker, [tp]) as consumer:
        begin = (await consumer.beginning_offsets([tp]))[tp]
        high = (await consumer.end_offsets([tp]))[tp]
        records: list[Any] = []
        portion = _FIRST_PORTION
        while high > begin:
            low = max(begin, high - portion)
            consumer.seek(tp, low)
            read: list[Any] = []
            async for fetched in _up_to(consumer, {tp: high}):
                read += filter(keep, fetched)
            kept = [record for record in read if record.offset < high]
            records = kept + records
            if is_enough(kept):
                break
            high, portion = low, 2 * portion
        return records


@contextlib.asynccontextmanager
async def _consumer(
    broker: BrokerSettings, partitions: Sequence[TopicPartition]
) -> AsyncIterator[AIOKafkaConsumer]:
    consuming = open_consumer(
        broker, partitions=partitions, auto_offset_reset="earliest", fetch_max_wait_ms=20
    )
    try:
        async with consuming as consumer:
            yield consumer
    except (KafkaError, OSError) as error:
        raise unreadable(_names(partitions), broker.servers, error) from error


async def _up_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> AsyncIterator[list[Any]]:
    """Fetches until every partition has come to its end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SILENCE_S
    while not all([await consumer.position(tp) >= end for tp, end in ends.items()]):
        for found in (await consumer.getmany(timeout_ms=100)).values():
            yield found
            deadline = loop.time() + _SILENCE_S
        if loop.time() > deadline:
            raise BrokerError(
                f"{_names(ends)} gave nothing for {_SILENCE_S:.0f} s before its end. "
                "Look at the broker's log"
            )


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted({tp.topic for tp in partitions}))


def unreadable(what: str, servers: str, error: BaseException) -> BrokerError:
    """Return the error of topics that cannot be read, with the cure."""
    return BrokerError(
        f"cannot read {what} at {servers}: {error!r}. Start it (for development: leverframe broker "
        "start) or set LEVERFRAME_BROKER; leverframe doctor says what else it may be"
    )
