"""One lane for each partition: its micro-batches in order, the lanes of others meanwhile.

While one lane waits for its transaction, others use the processor. What arrived on a lane during
that wait is taken together in the next transaction, so that micro-batches are small when idle and
large under load; and where enough has arrived to be worth a transaction of its own, the lane
prepares it during the wait. The first unexpected error stops everything: nothing is acknowledged
after it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from leverframe.streams.runtime.ledger import Ledger
from leverframe.streams.runtime.microbatch import Reading

__all__ = ["Batch", "Idle", "Lanes"]

log = logging.getLogger(__name__)

# Enough to fill the next transaction; more would only make a revocation wait.
_WAITING_BATCHES: Final = 4
_TRANSACTION_RECORDS: Final = 10_000
# Fewer are taken once the transaction before has ended, together with what arrives until then.
_PREPARED_RECORDS: Final = 1_000

Batch = tuple[str, Sequence[Any], Callable[[], None]]
"""Topic, raw records, and what acknowledges them."""


class Idle(Struct, frozen=True):
    """How idle an input topic of a partition is.

    Attributes
    ----------
    seconds : float
        Since its last record, or since the ledger was opened.
    end, is_read, fetched
        As in ``streams.runtime.microbatch.Reading``.
    """

    seconds: float
    end: int | None
    is_read: bool
    fetched: int


class _Lane:
    """The waiting work of one partition and the task that does it."""

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.under_way: deque[tuple[asyncio.Future[None], list[Batch]]] = deque()
        self.tick_due = False
        self.wake = asyncio.Event()
        self.is_held_back = False
        self.closing = False
        self.ledger: Ledger | None = None
        self.task: asyncio.Task[None] | None = None
        self.last_arrival_s: dict[str, float] = {}
        self.readings: Mapping[str, Reading] = {}

    @property
    def is_ready(self) -> bool:
        """Whether a micro-batch is to be taken now."""
        if not self.under_way:
            return bool(self.batches)
        return sum(len(records) for _, records, _ in self.batches) >= _PREPARED_RECORDS

    def finish(self) -> None:
        """Acknowledge what is durable, in order; raise what made a transaction fail."""
        while self.under_way and self.under_way[0][0].done():
            durable, taken = self.under_way.popleft()
            durable.result()
            for _, _, acknowledge in taken:
                acknowledge()

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:
            await asyncio.wait([self.under_way[-1][0]])
            self.finish()


class Lanes:
    """The lanes of one agent.

    Parameters
    ----------
    open_ledger : callable
        From a partition to its ledger; called at the partition's first work.
    handle : callable
        Does one micro-batch: gets the ledger and runs of (topic, records). Returns what is done
        when it is durable, or None where nothing was to be done.
    tick : callable
        Does what time demands on a partition: gets the ledger, which has no transaction under way,
        and, for each input topic, how idle it is. Returns whether more is due at once.
    on_failure : callable
        Called once with the first unexpected error; it is expected to end the process.
    hold_back : callable
        Called with a partition whose lane is full: no more is to be fetched for it. The other lanes
        go on.
    let_go_on : callable
        Called when there is room again.
    """

    def __init__(
        self,
        open_ledger: Callable[[int], Awaitable[Ledger]],
        handle: Callable[
            [Ledger, list[tuple[str, Sequence[Any]]]], Awaitable[asyncio.Future[None] | None]
        ],
        tick: Callable[[Ledger, Mapping[str, Idle]], Awaitable[bool]],
        on_failure: Callable[[BaseException], None],
        hold_back: Callable[[int], None],
        let_go_on: Callable[[int], None],
    ) -> None:
        self._open_ledger = open_ledger
        self._handle = handle
        self._tick = tick
        self._on_failure = on_failure
        self._hold_back = hold_back
        self._let_go_on = let_go_on
        self._lanes: dict[int, _Lane] = {}
        self._failed = False
        self.suspended = False

    @property
    def ledgers(self) -> dict[int, Ledger]:
        """The open ledgers by partition."""
        return {p: lane.ledger for p, lane in self._lanes.items() if lane.ledger is not None}

    def _lane(self, partition: int) -> _Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
            lane.task = asyncio.get_running_loop().create_task(
                self._run(partition, lane), name=f"lane-{partition}"
            )
        return lane

    def submit(self, partition: int, batch: Batch) -> None:
        """Queue one micro-batch.

        Parameters
        ----------
        partition : int
            Its partition.
        batch : Batch
            Acknowledged when its transaction has committed.
        """
        if self._failed or self.suspended:
            # Partitions are leaving: what is not acknowledged is read again after the rebalance.
            return
        lane = self._lane(partition)
        lane.batches.append(batch)
        lane.last_arrival_s[batch[0]] = time.monotonic()
        if len(lane.batches) >= _WAITING_BATCHES and not lane.is_held_back:
            lane.is_held_back = True
            self._hold_back(partition)
        lane.wake.set()

    def tick(self, readings: Mapping[int, Mapping[str, Reading]]) -> None:
        """Ask for a tick on each partition, opening its ledger if need be.

        Parameters
        ----------
        readings : mapping of int to mapping of str to Reading
            Those assigned to this worker, with how far each input topic is read.
        """
        if self.suspended or self._failed:
            return
        for partition, by_topic in readings.items():
            lane = self._lane(partition)
            lane.tick_due = True
            lane.readings = by_topic
            lane.wake.set()

    async def close(self, partitions: Iterable[int] | None = None) -> None:
        """Finish what is queued on the lanes, then close their ledgers.

        Parameters
        ----------
        partitions : iterable of int, optional
            All when left out.
        """
        chosen = list(self._lanes) if partitions is None else list(partitions)
        closing = {p: lane for p in chosen if (lane := self._lanes.get(p)) is not None}
        for lane in closing.values():
            lane.closing = True
            lane.wake.set()
        tasks = [lane.task for lane in closing.values() if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        for partition, lane in closing.items():
            if self._lanes.get(partition) is lane:
                del self._lanes[partition]

    def abandon_opening(self, partitions: Iterable[int]) -> None:
        """Give up lanes whose ledger is still being opened; their records are read again elsewhere.

        A restore may take longer than the group waits for this worker to let go.

        Parameters
        ----------
        partitions : iterable of int
            Those that leave this worker.
        """
        for partition in partitions:
            lane = self._lanes.get(partition)
            if lane is not None and lane.ledger is None and lane.task is not None:
                lane.batches.clear()
                lane.task.cancel()

    async def _run(self, partition: int, lane: _Lane) -> None:
        try:
            await lane.wake.wait()
            lane.ledger = await self._open_ledger(partition)
            opened_s = time.monotonic()
            while lane.batches or lane.under_way or lane.tick_due or not lane.closing:
                await lane.wake.wait()
                lane.wake.clear()
                lane.finish()
                # In turn, so that neither heartbeats nor expiry wait for a backlog to end.
                while lane.is_ready or lane.tick_due:
                    if lane.is_ready:
                        await self._take(partition, lane, lane.ledger)
                    if lane.tick_due:
                        await lane.settle()
                        lane.tick_due = False
                        idle = _idleness(lane, opened_s, time.monotonic())
                        lane.tick_due = await self._tick(lane.ledger, idle)
            await lane.ledger.close()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - fail-stop: see the module's docstring
            self._failed = True
            self._on_failure(error)

    async def _take(self, partition: int, lane: _Lane, ledger: Ledger) -> None:
        taken: list[Batch] = []
        records = 0
        while lane.batches and (
            not taken or records + len(lane.batches[0][1]) <= _TRANSACTION_RECORDS
        ):
            taken.append(lane.batches.popleft())
            records += len(taken[-1][1])
        if lane.is_held_back and len(lane.batches) < _WAITING_BATCHES:
            lane.is_held_back = False
            self._let_go_on(partition)
        durable = await self._handle(ledger, [(topic, part) for topic, part, _ in taken])
        if durable is None:
            # Not before what came before it.
            await lane.settle()
            durable = asyncio.get_running_loop().create_future()
            durable.set_result(None)
        lane.under_way.append((durable, taken))
        durable.add_done_callback(lambda _: lane.wake.set())
        lane.finish()


def _idleness(lane: _Lane, opened_s: float, now_s: float) -> dict[str, Idle]:
    return {
        topic: Idle(now_s - lane.last_arrival_s.get(topic, opened_s), *reading)
        for topic, reading in lane.readings.items()
    }
