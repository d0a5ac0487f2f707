"""Lanes: partitions that share one producer, and so one transaction (docs/adr/0022-lanes.md).

Partition p belongs to lane p mod L. While the transaction of a lane is under way, what its
partitions have ready waits, and goes into the next one together: with 64 partitions a broker has a
few transactions at once, not 64. A lane is in one process as a whole (``assignor``), so that its
transactional id fences all earlier owners of its partitions. Where L is the number of partitions,
each partition is a lane of its own.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from msgspec import Struct

from leverframe.streams.runtime.kafka import BrokerSettings, client_options
from leverframe.streams.runtime.transactions import Target, Transaction
from leverframe.streams.topology import MAX_ENTRY_BYTES

__all__ = ["HopSettings", "Lane", "Lanes", "lane_name", "open_producer", "transactional_id"]

_BATCH_BYTES: Final = 512 << 10


class HopSettings(Struct, frozen=True, kw_only=True):
    """What all partitions of an agent share that writes in transactions.

    ``app_id`` and ``agent`` name the transactional ids. After ``transaction_timeout_ms`` the broker
    aborts an open transaction of a dead worker by itself. ``lanes``: 0 where each partition is a
    lane of its own.
    """

    app_id: str
    agent: str
    broker: BrokerSettings
    transaction_timeout_ms: int = 30_000
    lanes: int = 0


def transactional_id(settings: HopSettings, partition: int) -> str:
    """Return the id that fences earlier owners of a partition: the same for every worker."""
    return lane_name(settings, partition, settings.lanes)


def lane_name(settings: HopSettings, partition: int, lanes: int) -> str:
    """Return the transactional id of a partition's lane, if there were so many lanes.

    Examples
    --------
    >>> settings = HopSettings(app_id="shop", agent="learning", broker=BrokerSettings())
    >>> lane_name(settings, 9, 0), lane_name(settings, 9, 4)
    ('shop-learning-9', 'shop-learning-lane-1-of-4')
    """
    own = f"lane-{partition % lanes}-of-{lanes}" if lanes else str(partition)
    return f"{settings.app_id}-{settings.agent}-{own}"


async def open_producer(settings: HopSettings, name: str) -> AIOKafkaProducer:
    """Start the producer of a transactional id: from now on no earlier owner can commit."""
    producer = AIOKafkaProducer(
        **client_options(settings.broker),
        transactional_id=name,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_ENTRY_BYTES,
    )
    try:
        await producer.start()
        # Waits for the producer id, and so for the abort of an earlier owner's open transaction.
        await producer.begin_transaction()
        await producer.abort_transaction()
    except BaseException:
        await producer.stop()
        raise
    return producer


class _Waiting(Struct, frozen=True):
    """A transaction that goes out with the next of its lane, and who is told of its end."""

    transaction: Transaction
    ends: "asyncio.Future[Mapping[Target, int]]"


class Lane:
    """One producer; what is committed while it is busy goes out together, in one transaction."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def new_transaction(self) -> Transaction:
        """Return an empty transaction, to be filled and given to ``commit``."""
        return Transaction(self._producer)

    async def commit(self, transaction: Transaction) -> Mapping[Target, int]:
        """Publish it; return the offset after the last record, by partition.

        It may share its fate with others of the lane. Raises what the producer raises.
        """
        ends: asyncio.Future[Mapping[Target, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(transaction, ends))
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        return await ends

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._publish(taken)
        finally:
            self._task = None

    async def _publish(self, taken: list[_Waiting]) -> None:
        whole = taken[0].transaction
        for other in taken[1:]:
            whole.join(other.transaction)
        try:
            ends = await whole.run()
        except BaseException as error:
            _tell(taken, error)
            if not isinstance(error, Exception):
                raise
            return
        for one in taken:
            if not one.ends.done():
                one.ends.set_result(ends)

    async def close(self) -> None:
        """Stop the producer, once what is under way has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._producer.stop()


def _tell(taken: list[_Waiting], error: BaseException) -> None:
    for one in taken:
        if one.ends.done():
            continue
        if isinstance(error, Exception):
            one.ends.set_exception(error)
        else:
            one.ends.cancel()


class Lanes:
    """The lanes of one agent in this process: each is open while a partition of it is."""

    def __init__(self, settings: HopSettings) -> None:
        self._settings = settings
        self._open: dict[str, Lane] = {}
        self._partitions: dict[str, set[int]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def enter(self, partition: int) -> Lane:
        """Return the lane of a partition; the first of its partitions fences earlier owners."""
        name = transactional_id(self._settings, partition)
        async with self._turns.setdefault(name, asyncio.Lock()):
            if name not in self._open:
                self._open[name] = Lane(await open_producer(self._settings, name))
            self._partitions.setdefault(name, set()).add(partition)
            return self._open[name]

    async def leave(self, partition: int) -> None:
        """Close the lane of a partition, if no other partition of it is open."""
        name = transactional_id(self._settings, partition)
        async with self._turns.setdefault(name, asyncio.Lock()):
            inside = self._partitions.get(name, set())
            inside.discard(partition)
            if not inside and name in self._open:
                await self._open.pop(name).close()
