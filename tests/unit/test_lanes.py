"""Lanes while partitions leave: nothing is begun that nobody will end."""

import asyncio
from typing import Any

from streams.runtime.lanes import Lanes


def test_nothing_is_taken_while_partitions_leave() -> None:
    """A record that arrives then is neither queued nor acknowledged: its next owner reads it."""
    opened: list[int] = []

    async def open_ledger(partition: int) -> Any:
        opened.append(partition)

    async def handle(*_: Any) -> None:
        raise AssertionError("nothing to handle")

    async def tick(*_: Any) -> bool:
        raise AssertionError("nothing to do")

    async def scene() -> None:
        failures: list[BaseException] = []
        lanes = Lanes(open_ledger, handle, tick, failures.append, lambda _: None, lambda _: None)
        acknowledged: list[int] = []
        lanes.suspended = True
        lanes.submit(0, ("predictions", [object()], lambda: acknowledged.append(0)))
        await lanes.close()
        assert (opened, acknowledged, failures) == ([], [], [])

    asyncio.run(scene())
