"""Lanes: order, acknowledgement, preparing the next micro-batch, and partitions that leave."""

import asyncio
from collections.abc import Sequence
from typing import Any

from leverframe.streams.runtime.lanes import Lanes

MANY = [object()] * 1000
FEW = [object()]


class Scene:
    """A lane whose transactions end when the test says so."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.under_way: list[asyncio.Future[None]] = []
        self.acknowledged: list[str] = []
        self.ticks = 0
        self.failures: list[BaseException] = []
        self.lanes = Lanes(
            self.open_ledger,
            self.handle,
            self.tick,
            self.failures.append,
            lambda _: None,
            lambda _: None,
        )

    async def open_ledger(self, _: int) -> Any:
        return self

    async def close(self) -> None:
        """Of the ledger."""

    async def handle(
        self, _: Any, batches: list[tuple[str, Sequence[Any]]]
    ) -> asyncio.Future[None] | None:
        count = sum(len(records) for _, records in batches)
        self.taken.append(count)
        if batches[0][0] == "counted before":
            return None
        self.under_way.append(asyncio.get_running_loop().create_future())
        return self.under_way[-1]

    async def tick(self, *_: Any) -> bool:
        assert all(one.done() for one in self.under_way)
        self.ticks += 1
        return False

    async def submit(self, name: str, records: list[object], topic: str = "predictions") -> None:
        self.lanes.submit(0, (topic, records, lambda: self.acknowledged.append(name)))
        await turns()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_nothing_is_taken_while_partitions_leave() -> None:
    """A record that arrives then is neither queued nor acknowledged: its next owner reads it."""

    async def play() -> None:
        scene = Scene()
        scene.lanes.suspended = True
        await scene.submit("a", FEW)
        await scene.lanes.close()
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
        await scene.lanes.close()
        assert scene.failures == []

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
        await scene.lanes.close()

    asyncio.run(play())


def test_a_tick_sees_no_transaction_under_way() -> None:
    """A sweep reads the cache itself: everything before it must be in there."""

    async def play() -> None:
        scene = Scene()
        await scene.submit("a", FEW)
        scene.lanes.tick({0: {}})
        await turns()
        assert scene.ticks == 0
        scene.under_way[0].set_result(None)
        await turns()
        assert (scene.ticks, scene.acknowledged, scene.failures) == (1, ["a"], [])
        await scene.lanes.close()

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
        closing = asyncio.create_task(scene.lanes.close())
        await turns()
        assert not closing.done()
        scene.under_way[0].set_result(None)
        await turns()
        scene.under_way[1].set_result(None)
        await closing
        assert scene.acknowledged == ["a", "b"]

    asyncio.run(play())
