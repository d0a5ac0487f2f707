"""Partitions: order, acknowledgement, preparing the next micro-batch, states, and leaving."""

import asyncio
from collections.abc import Mapping
from typing import Any

from patience import eventually

from leverframe.streams.runtime.partition import Agent, Batch, Idle, Partition, State
from leverframe.streams.runtime.partitions import Partitions
from leverframe.streams.runtime.runs import Run

MANY = [object()] * 1000
FEW = [object()]


class Scene:
    """A partition whose transactions end when the test says so; it plays ledger, work and flow."""

    def __init__(self, pace_s: float = 0.0) -> None:
        self.taken: list[int] = []
        self.under_way: list[asyncio.Future[None]] = []
        self.acknowledged: list[str] = []
        self.ticks = 0
        self.failures: list[BaseException] = []
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.is_closed = False
        self.flow: list[str] = []
        agent = Agent(self.open_ledger, lambda _: self, self, lambda: pace_s)
        self.partitions: Partitions[Scene] = Partitions(agent, self.failures.append)

    async def open_ledger(self, _: int) -> Any:
        await self.may_open.wait()
        return self

    async def close(self) -> None:
        """Of the ledger."""
        self.is_closed = True

    def hold_back(self, _: int) -> None:
        self.flow.append("hold back")

    def let_go_on(self, _: int) -> None:
        self.flow.append("let go on")

    async def handle(self, runs: list[Run]) -> asyncio.Future[None] | None:
        self.taken.append(sum(len(run.records) for run in runs))
        if runs[0].topic == "counted before":
            return None
        self.under_way.append(asyncio.get_running_loop().create_future())
        return self.under_way[-1]

    async def tick(self, _: Mapping[str, Idle]) -> bool:
        assert all(durable.done() for durable in self.under_way)
        self.ticks += 1
        return False

    async def submit(self, name: str, records: list[object], topic: str = "predictions") -> None:
        batch = Batch(topic, records, lambda: self.acknowledged.append(name))
        self.partitions.handle(0, batch)
        await turns()

    @property
    def partition(self) -> Partition["Scene"]:
        return self.partitions._partitions[0]


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_nothing_is_taken_while_partitions_leave() -> None:
    """A record that arrives then is neither queued nor acknowledged: its next owner reads it."""

    async def play() -> None:
        scene = Scene()
        scene.partitions.is_suspended = True
        await scene.submit("a", FEW)
        await scene.partitions.close()
        assert (scene.taken, scene.acknowledged, scene.failures) == ([], [], [])

    asyncio.run(play())


def test_few_records_wait_for_the_transaction_before_and_many_do_not() -> None:
    """Small micro-batches when idle, large ones under load, acknowledged in order when durable."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        await scene.submit("b", FEW)
        await scene.submit("c", FEW)
        assert scene.taken == [1]
        await scene.submit("d", MANY)
        assert scene.taken == [1, 1002]
        assert scene.acknowledged == []
        scene.under_way[1].set_result(None)
        await turns()
        assert scene.acknowledged == []
        scene.under_way[0].set_result(None)
        await turns()
        assert scene.acknowledged == ["a", "b", "c", "d"]
        await scene.partitions.close()
        assert scene.failures == []

    asyncio.run(play())


def test_few_records_wait_for_the_pace_and_many_do_not() -> None:
    """What leaves does not, either; and what waited is taken when its time has come."""

    async def play() -> None:
        slow = Scene(pace_s=3600)
        await slow.submit("a", FEW)
        slow.under_way[0].set_result(None)
        await slow.submit("b", FEW)
        assert slow.taken == [1]
        await slow.submit("c", MANY)
        assert slow.taken == [1, 1001]
        slow.under_way[1].set_result(None)
        await slow.submit("d", FEW)
        assert slow.taken == [1, 1001]
        closing = asyncio.ensure_future(slow.partitions.close())
        await turns()
        assert slow.taken == [1, 1001, 1]
        slow.under_way[2].set_result(None)
        await closing
        assert slow.acknowledged == ["a", "b", "c", "d"]

        paced = Scene(pace_s=0.02)
        for name in "ab":
            await paced.submit(name, FEW)
            await eventually(lambda: done(paced), "it is taken")
        assert paced.taken == [1, 1]
        await paced.partitions.close()
        assert slow.failures == paced.failures == []

    async def done(scene: Scene) -> bool:
        under_way = scene.under_way and not scene.under_way[-1].done()
        if under_way:
            scene.under_way[-1].set_result(None)
        return bool(under_way)

    asyncio.run(play())


def test_what_was_counted_before_is_acknowledged_after_what_is_under_way() -> None:
    """The group's offset never passes what is not durable."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        await scene.submit("b", MANY, "counted before")
        assert scene.taken == [1, 1000]
        assert scene.acknowledged == []
        scene.under_way[0].set_result(None)
        await turns()
        assert scene.acknowledged == ["a", "b"]
        await scene.partitions.close()

    asyncio.run(play())


def test_a_tick_sees_no_transaction_under_way() -> None:
    """A sweep reads the cache itself: everything before it must be in there."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        scene.partitions.tick({0: {}})
        await turns()
        assert scene.ticks == 0
        scene.under_way[0].set_result(None)
        await turns()
        assert (scene.ticks, scene.acknowledged, scene.failures) == (1, ["a"], [])
        await scene.partitions.close()

    asyncio.run(play())


def test_a_failed_transaction_stops_everything() -> None:
    """Nothing is acknowledged after it, and the error is told once, without further arrivals."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        error = RuntimeError("fenced")
        scene.under_way[0].set_exception(error)
        await turns()
        await scene.submit("b", FEW)
        assert (scene.failures, scene.acknowledged, scene.taken) == ([error], [], [1])

    asyncio.run(play())


def test_closing_waits_for_what_is_under_way() -> None:
    """A partition leaves with everything that was taken of it acknowledged."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        await scene.submit("b", FEW)
        closing = asyncio.create_task(scene.partitions.close())
        await turns()
        assert not closing.done()
        scene.under_way[0].set_result(None)
        await turns()
        scene.under_way[1].set_result(None)
        await closing
        assert scene.acknowledged == ["a", "b"]

    asyncio.run(play())


def test_states_follow_the_ledger() -> None:
    """Opening until the ledger is open, leaving until it is closed; work is known in between."""

    async def play() -> None:
        scene = Scene()
        scene.may_open.clear()
        await scene.submit("a", FEW)
        partition = scene.partition
        assert (partition.state, scene.partitions.works) == (State.OPENING, {})
        scene.may_open.set()
        await turns()
        assert partition.state is State.RUNNING
        assert scene.partitions.works == {0: scene}
        closing = asyncio.create_task(scene.partitions.close([0, 7]))
        await turns()
        assert (partition.state, scene.is_closed) == (State.LEAVING, False)
        scene.under_way[0].set_result(None)
        await closing
        assert (partition.state, scene.is_closed) == (State.CLOSED, True)
        assert scene.partitions.works == {}
        assert scene.acknowledged == ["a"]

    asyncio.run(play())


def test_an_abandoned_opening_leaves_at_once() -> None:
    """A restore may take longer than the group waits; nothing of it was done, nothing is acked."""

    async def play() -> None:
        scene = Scene()
        scene.may_open.clear()
        await scene.submit("a", FEW)
        partition = scene.partition
        scene.partitions.abandon_opening([0, 7])
        await scene.partitions.close([0])
        assert partition.state is State.CLOSED
        assert (scene.taken, scene.acknowledged, scene.failures) == ([], [], [])
        scene.may_open.set()
        await scene.submit("a again", FEW)
        assert scene.taken == [1]

    asyncio.run(play())


def test_an_open_partition_is_not_abandoned() -> None:
    """What has begun is finished: its records were read, and its owner is still this worker."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        scene.partitions.abandon_opening([0])
        await turns()
        assert scene.partition.state is State.RUNNING
        scene.under_way[0].set_result(None)
        await scene.partitions.close()
        assert (scene.acknowledged, scene.failures) == (["a"], [])

    asyncio.run(play())


def test_a_partition_that_leaves_while_it_opens_does_what_is_queued() -> None:
    """A worker that stops finishes what it took, also where the ledger was not open yet."""

    async def play() -> None:
        scene = Scene()
        scene.may_open.clear()
        await scene.submit("a", FEW)
        partition = scene.partition
        closing = asyncio.create_task(scene.partitions.close())
        await turns()
        assert partition.state is State.LEAVING
        scene.may_open.set()
        await turns()
        assert (partition.state, scene.taken) == (State.LEAVING, [1])
        scene.under_way[0].set_result(None)
        await closing
        assert (scene.acknowledged, scene.is_closed) == (["a"], True)

    asyncio.run(play())


def test_a_full_partition_holds_its_fetches_back() -> None:
    """Four micro-batches wait at most; once they are taken, fetching goes on."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        for name in "bcde":
            assert scene.flow == []
            await scene.submit(name, FEW)
        assert scene.flow == ["hold back"]
        scene.under_way[0].set_result(None)
        await turns()
        assert scene.flow == ["hold back", "let go on"]
        assert scene.taken == [1, 4]
        scene.under_way[1].set_result(None)
        await scene.partitions.close()

    asyncio.run(play())
