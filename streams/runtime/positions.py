"""Exactly once without state of one's own: outputs and positions in one transaction.

A hop that keeps nothing between micro-batches needs no changelog. Its positions are offsets of a
group that nobody joins, committed with the transaction of what came of them; whoever takes the
partition over fences earlier owners first, by the transactional id, and reads the offsets then.

Kafka forgets offsets of a group without members after ``offsets.retention.minutes`` (7 days), so an
idle partition commits them anew from time to time.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.lanes import HopSettings, open_producer, transactional_id
from leverframe.streams.runtime.ledger import Output, Positions
from leverframe.streams.runtime.open_ledger import outlast
from leverframe.streams.runtime.transactions import Transaction

__all__ = ["PositionLedger", "open_positions", "read_newest_ms"]

_GRACE_S: Final = 15.0
RENEW_S: Final = 3600.0


class _Note(msgspec.Struct, omit_defaults=True):
    """What is kept beside an offset, as its metadata."""

    topic_id: str = ""
    lost: int = 0
    lost_ms: int = 0
    partitions: int = 0
    newest_ms: int = 0


class PositionLedger:
    """Positions of one partition of one topic; ``open_positions`` makes it."""

    def __init__(
        self,
        settings: HopSettings,
        topic: str,
        partition: int,
        positions: Positions,
        producer: AIOKafkaProducer,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.positions = positions
        self.restored = len(positions.offsets)
        self.restore_seconds = 0.0
        self._settings = settings
        self._producer = producer
        # Of the topic when the first of its positions was committed; 0: none was yet.
        self.first_partitions = 0
        self._under_way: asyncio.Future[None] | None = None
        self._committed_s = time.monotonic()

    async def begin_commit(
        self, outputs: Iterable[Output], positions: Positions | None = None
    ) -> "asyncio.Future[None]":
        """Begin a transaction once the one before has ended.

        ``positions`` say how far the input is counted then, as before when left out. What is
        returned is done when all of it is durable. Raises ``LedgerError`` if the transaction
        before failed.
        """
        after = self.positions if positions is None else positions
        transaction = Transaction(self._producer)
        for output in outputs:
            target = output.topic, output.partition
            transaction.add(target, output.key, output.value, output.headers, output.timestamp_ms)
        if self._under_way is not None:
            await self._under_way
        self.positions = after
        self._under_way = asyncio.ensure_future(self._make_durable(transaction))
        return self._under_way

    async def commit(self, outputs: Iterable[Output], positions: Positions | None = None) -> None:
        """Make one micro-batch durable; raises ``LedgerError`` if that failed."""
        await (await self.begin_commit(outputs, positions))

    async def renew(self) -> None:
        """Commit the positions again where nothing was committed for an hour."""
        if self.positions.offsets and time.monotonic() - self._committed_s >= RENEW_S:
            await self.commit([])

    async def _make_durable(self, transaction: Transaction) -> None:
        try:
            # The broker aborts a transaction after its own time; whoever still waits then waits
            # for ever.
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000 + _GRACE_S):
                await transaction.run(group_of(self._settings), self._offsets())
        except ProducerFenced as error:
            raise LedgerError(
                f"{self.name}: another worker owns this partition now; this one was fenced. "
                "Nothing is lost. If it happens often, check for two workers with one [app] id "
                "or for pauses longer than the session timeout."
            ) from error
        except (TimeoutError, KafkaError) as error:
            raise LedgerError(
                f"{self.name}: the transaction failed ({error!r}). Nothing is lost; the worker "
                "must be restarted and will find out from the log what was counted."
            ) from error
        self._committed_s = time.monotonic()

    def _offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        positions = self.positions
        lost = positions.lost.get(self.topic)
        topic_id = positions.topic_ids.get(self.topic, "")
        newest_ms = positions.times_ms.get(self.topic, 0)
        note = _Note(topic_id, partitions=self.first_partitions, newest_ms=newest_ms)
        if lost is not None:
            note.lost, note.lost_ms = lost.count, lost.newest_ms
        return {
            TopicPartition(topic, self.partition): OffsetAndMetadata(
                offset, msgspec.json.encode(note).decode()
            )
            for topic, offset in positions.offsets.items()
        }

    @property
    def name(self) -> str:
        """``<app>-<agent>-<partition>``: also the transactional id."""
        return transactional_id(self._settings, self.partition)

    @property
    def was_added(self) -> bool:
        """Whether the partition was added to its topic after reading began."""
        return 0 < self.first_partitions <= self.partition

    async def close(self) -> None:
        """Stop the producer, once what is under way has ended."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        await self._producer.stop()


def group_of(settings: HopSettings) -> str:
    """Return the group whose offsets are the positions; nobody joins it."""
    return f"{settings.app_id}-sources"


async def open_positions(settings: HopSettings, topic: str, partition: int) -> PositionLedger:
    """Take a partition over: fence its earlier owners, then read how far they came.

    A broker that is away for a while is waited for. Raises ``LedgerError`` if it refuses the
    transactional id or the group, or does not come back.
    """
    began = time.monotonic()

    async def attempt() -> PositionLedger:
        producer = await open_producer(settings, transactional_id(settings, partition))
        try:
            found, count = await _read(settings, topic, partition)
        except BaseException:
            # Cancelled too: the partition left meanwhile.
            await producer.stop()
            raise
        positions = _positions(topic, found.get(partition))
        ledger = PositionLedger(settings, topic, partition, positions, producer)
        known = [note.partitions for _, note in found.values() if note.partitions]
        ledger.first_partitions = min(known, default=count)
        return ledger

    ledger = await outlast(settings, partition, attempt)
    ledger.restore_seconds = time.monotonic() - began
    return ledger


async def read_newest_ms(settings: HopSettings, topic: str) -> dict[int, int]:
    """Return the newest record time that was counted, of each partition that has a position.

    0 where an older version kept none.
    """
    found, _ = await _read(settings, topic, 0)
    return {partition: note.newest_ms for partition, (_, note) in found.items()}


async def _read(
    settings: HopSettings, topic: str, partition: int
) -> tuple[dict[int, tuple[int, _Note]], int]:
    """Offset and note of each partition of a topic that has one, and how many partitions it has."""
    async with open_consumer(settings.broker, group_id=group_of(settings)) as consumer:
        await consumer._client.add_topic(topic)  # noqa: SLF001 - nothing public asks for one
        known = consumer.partitions_for_topic(topic) or set()
        count = max(known | {partition}) + 1
        tps = [TopicPartition(topic, one) for one in range(count)]
        # aiokafka's own ``committed`` leaves the metadata out.
        offsets = await consumer._coordinator.fetch_committed_offsets(tps)  # noqa: SLF001
    found = {
        tp.partition: (one.offset, _note(one)) for tp, one in offsets.items() if one.offset >= 0
    }
    return found, count


def _note(found: Any) -> _Note:
    try:
        return msgspec.json.decode(found.metadata or "{}", type=_Note)
    except msgspec.MsgspecError:
        return _Note()  # somebody reset the offsets by hand


def _positions(topic: str, found: tuple[int, _Note] | None) -> Positions:
    if found is None:
        return Positions()
    offset, note = found
    positions = Positions({topic: offset}, topic_ids={topic: note.topic_id})
    if note.newest_ms:
        positions.times_ms[topic] = note.newest_ms
    if note.lost:
        positions.note_lost(topic, note.lost, note.lost_ms)
    return positions
