"""One partition: its micro-batches in order, its ledger, and what its agent keeps for it.

While one partition waits for its transaction, others use the processor. What arrived during that
wait is taken together in the next transaction, so that micro-batches are small when idle and large
under load; and where enough has arrived to be worth a transaction of its own, it is prepared during
the wait. The first unexpected error stops everything: nothing is acknowledged after it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from leverframe.streams.runtime.runs import Run

__all__ = [
    "Agent",
    "Batch",
    "Flow",
    "Idle",
    "OpenLedger",
    "Partition",
    "Reading",
    "State",
    "Work",
    "WorkT",
]

# Enough to fill the next transaction; more would only make a revocation wait.
_WAITING_BATCHES: Final = 4
_TRANSACTION_RECORDS: Final = 10_000
# Fewer are taken once the transaction before has ended, together with what arrives until then.
_PREPARED_RECORDS: Final = 1_000


class Batch(Struct, frozen=True):
    """A micro-batch: raw records of one topic, and what acknowledges them to the group."""

    topic: str
    records: Sequence[Any]
    acknowledge: Callable[[], None]


class Reading(NamedTuple):
    """How far one topic of a partition is read.

    Attributes
    ----------
    end : int or None
        Its end offset, as the newest fetch said; None before the first.
    is_read : bool
        Whether nothing between the reader's position and the end is left to fetch.
    fetched : int
        Offset after the last record that was handed over.
    """

    end: int | None
    is_read: bool
    fetched: int


class Idle(NamedTuple):
    """How idle one topic of a partition is: seconds without a record, the rest as in ``Reading``.

    Before the first record they count from when the ledger was open.
    """

    seconds: float
    end: int | None
    is_read: bool
    fetched: int


class Work(Protocol):
    """What an agent does on one partition, and all that it keeps for it; begun on an open ledger.

    Calls come one at a time; an error that one of them raises ends the process.
    """

    async def handle(self, runs: list[Run]) -> "asyncio.Future[None] | None":
        """Do one micro-batch; return what is done when it is durable, None if nothing was to do."""

    async def tick(self, idle: Mapping[str, Idle]) -> bool:
        """Do what time demands, with no transaction under way; say whether more is due at once."""


class Flow(Protocol):
    """Stops fetching for one partition, and lets it go on; other partitions are not touched."""

    def hold_back(self, partition: int) -> None:
        """Fetch no more: what was fetched waits."""

    def let_go_on(self, partition: int) -> None:
        """Fetch again."""


WorkT = TypeVar("WorkT", bound=Work)


class OpenLedger(Protocol):
    """What is opened before work begins, and closed when a partition leaves."""

    async def close(self) -> None:
        """Finish what is under way, and let go."""


class Agent(Struct, Generic[WorkT], frozen=True):
    """What the partitions of one agent share: how a ledger is opened, and work begun on it.

    ``pace`` says how many seconds lie between the begins of two transactions of a partition at
    least, unless there is enough for one already: each costs the process and the broker a few
    milliseconds, however little it holds.
    """

    open_ledger: Callable[[int], Awaitable[OpenLedger]]
    begin: Callable[[Any], WorkT]
    flow: Flow
    pace: Callable[[], float] = float


class State(Enum):
    """Where a partition stands; see ``Partition``."""

    OPENING = "opening"
    RUNNING = "running"
    LEAVING = "leaving"
    CLOSED = "closed"


class _UnderWay(NamedTuple):
    """A transaction that may not have ended, and what to acknowledge then."""

    durable: "asyncio.Future[None]"
    batches: list[Batch]


class Partition(Generic[WorkT]):
    """One partition of one agent, from its first work on this worker until it leaves.

    ::

            handle or tick
                  |
                  v        ledger open
               OPENING ------------------> RUNNING
                |   |                         |
        abandon |   | close                   | close
        opening |   v                         |
                |  LEAVING <------------------+
                |   |
                |   | queue done, ledger closed
                v   v
               CLOSED

    LEAVING without a ledger opens it first, unless the opening is abandoned then.
    An unexpected error leads from any state to CLOSED by way of ``on_failure``, which ends the
    process: the ledger is left as it is, and the log decides what was counted.
    """

    def __init__(
        self, number: int, agent: Agent[WorkT], on_failure: Callable[[BaseException], None]
    ) -> None:
        self.number = number
        self.state = State.OPENING
        self.ledger: OpenLedger | None = None
        self.work: WorkT | None = None
        self._agent = agent
        self._on_failure = on_failure
        self._waiting: deque[Batch] = deque()
        self._under_way: deque[_UnderWay] = deque()
        self._is_held_back = False
        self._is_tick_due = False
        self._readings: Mapping[str, Reading] = {}
        self._last_arrival_s: dict[str, float] = {}
        self._opened_s = 0.0
        self._taken_s = 0.0
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"partition-{number}")
        self._task.add_done_callback(self._note_end)

    # -- called from outside; none of them waits, but ``close`` --------------------------------

    def handle(self, batch: Batch) -> None:
        """Queue a micro-batch; it is acknowledged when its transaction has committed."""
        self._waiting.append(batch)
        self._last_arrival_s[batch.topic] = time.monotonic()
        if len(self._waiting) >= _WAITING_BATCHES and not self._is_held_back:
            self._is_held_back = True
            self._agent.flow.hold_back(self.number)
        self._wake.set()

    def tick(self, readings: Mapping[str, Reading]) -> None:
        """Ask for what time demands, once what is under way has ended."""
        self._is_tick_due = True
        self._readings = readings
        self._wake.set()

    async def close(self) -> None:
        """Finish what is queued, opening the ledger if need be, then close the ledger."""
        if self.state is not State.CLOSED:
            self.state = State.LEAVING
        self._wake.set()
        await asyncio.wait([self._task])

    def abandon_opening(self) -> None:
        """Give up while the ledger is still being opened; the records are read again elsewhere.

        A restore may take longer than the group waits for this worker to let go.
        """
        if self.ledger is None:
            self._waiting.clear()
            self._task.cancel()

    def abandon_blocked(self) -> None:
        """Give up work that waits for somebody outside of Kafka; its records are read again.

        Nothing of them was committed. Who is asked may be away for longer than the group waits.
        """
        if getattr(self.work, "is_blocked", False):
            self._waiting.clear()
            self._task.cancel()

    # -- the task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._wake.wait()
            self.ledger = await self._agent.open_ledger(self.number)
            self.work = self._agent.begin(self.ledger)
            self._opened_s = time.monotonic()
            if self.state is State.OPENING:
                self.state = State.RUNNING
            await self._do(self.work)
            await self.ledger.close()
        except asyncio.CancelledError:
            if self.ledger is not None:
                await self.ledger.close()
            raise
        except BaseException as error:  # noqa: BLE001 - fail-stop: see the module's docstring
            self._on_failure(error)

    def _note_end(self, _: "asyncio.Task[None]") -> None:
        self.state = State.CLOSED

    async def _do(self, work: WorkT) -> None:
        while self._has_something_to_do or self.state is not State.LEAVING:
            await self._wake.wait()
            self._wake.clear()
            self._acknowledge()
            # In turn, so that neither heartbeats nor expiry wait for a backlog to end.
            while self._is_batch_due or self._is_tick_due:
                if self._is_batch_due:
                    await self._take(work)
                if self._is_tick_due:
                    await self._settle()
                    self._is_tick_due = False
                    self._is_tick_due = await work.tick(self._idleness(time.monotonic()))
            if self._waiting and not self._under_way:
                asyncio.get_running_loop().call_later(self._early_s, self._wake.set)

    @property
    def _has_something_to_do(self) -> bool:
        return bool(self._waiting or self._under_way or self._is_tick_due)

    @property
    def _is_batch_due(self) -> bool:
        if not self._waiting:
            return False
        if not self._under_way and (self.state is State.LEAVING or self._early_s <= 0):
            return True
        return sum(len(batch.records) for batch in self._waiting) >= _PREPARED_RECORDS

    @property
    def _early_s(self) -> float:
        """How long the next transaction has to wait for others to have their turn."""
        return self._taken_s + self._agent.pace() - time.monotonic()

    async def _take(self, work: WorkT) -> None:
        batches = self._next_batches()
        self._taken_s = time.monotonic()
        if self._is_held_back and len(self._waiting) < _WAITING_BATCHES:
            self._is_held_back = False
            self._agent.flow.let_go_on(self.number)
        durable = await work.handle([Run(batch.topic, batch.records) for batch in batches])
        if durable is None:
            # Not before what came before it.
            await self._settle()
            durable = asyncio.get_running_loop().create_future()
            durable.set_result(None)
        self._under_way.append(_UnderWay(durable, batches))
        durable.add_done_callback(lambda _: self._wake.set())
        self._acknowledge()

    def _next_batches(self) -> list[Batch]:
        """Take what fits into a transaction from the queue; one, however large it is."""
        batches = [self._waiting.popleft()]
        records = len(batches[0].records)
        while self._waiting and records + len(self._waiting[0].records) <= _TRANSACTION_RECORDS:
            batches.append(self._waiting.popleft())
            records += len(batches[-1].records)
        return batches

    def _acknowledge(self) -> None:
        """Acknowledge what is durable, in order; raise what made a transaction fail."""
        while self._under_way and self._under_way[0].durable.done():
            ended = self._under_way.popleft()
            ended.durable.result()
            for batch in ended.batches:
                batch.acknowledge()

    async def _settle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait([self._under_way[-1].durable])
            self._acknowledge()

    def _idleness(self, now_s: float) -> dict[str, Idle]:
        return {
            topic: Idle(now_s - self._last_arrival_s.get(topic, self._opened_s), *reading)
            for topic, reading in self._readings.items()
        }
