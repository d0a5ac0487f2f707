"""Partitions that share a transaction: exact beside kills, zombies, and another number of lanes."""

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from harness import SHORT_SESSION, Script, produce, verify, wait_for_rewards
from patience import PATIENCE_S, eventually

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.lanes import Lanes
from leverframe.streams.runtime.ledger import LedgerSettings, Positions
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

pytestmark = pytest.mark.broker

LANES = {
    "LEVERFRAME_TOPICS__PARTITIONS": "12",
    "LEVERFRAME_TOPICS__ROUTE_PARTITIONS": "4",
    "LEVERFRAME_APP__LANES": "2",
}


def _settings(deployment: Any, name: str, lanes: int) -> LedgerSettings:
    settings = deployment.settings
    return LedgerSettings(
        app_id=settings.topic_names.prefix,
        agent="attribution",
        changelog=settings.topic_names.attribution_changelog,
        datadir=deployment.folder / name,
        broker=settings.broker,
        memory=Memory(1 << 20, 8 << 20),
        lanes=lanes,
    )


def test_lanes_lose_and_double_nothing(deploy: Callable[..., Any]) -> None:
    """Two workers share 12 partitions in 2 lanes; one is killed, one comes, one leaves."""

    async def drill() -> None:
        deployment = await deploy(**SHORT_SESSION, **LANES)
        script = Script(pairs=8_000, seed=31, routes=6, shadow_share=0.1)
        first = deployment.start("first")
        second = deployment.start("second")
        producing = asyncio.create_task(produce(deployment, script, 1_000))
        await wait_for_rewards(deployment, 1_000)
        await _hold_whole_lanes(deployment, "first", "second")
        first.kill()
        deployment.start("third")
        await wait_for_rewards(deployment, 4_000)
        second.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(second.wait, PATIENCE_S)
        # On a slow machine it leaves without its orderly end, and says so; what counts is below.
        is_late = "the orderly end took longer" in deployment.log("second")
        assert code == (1 if is_late else 0), deployment.log("second")
        await producing
        await verify(deployment, script)

    asyncio.run(drill())


async def _hold_whole_lanes(deployment: Any, *names: str) -> None:
    """Each worker opens partitions of its own lane alone, once both are there."""

    def newest(name: str) -> set[int]:
        log = deployment.log(name)
        opened = [int(n) for n in re.findall(r"attribution-(\d+): open", log)]
        return {n % 2 for n in opened[-6:]} if len(opened) >= 6 else set()

    async def is_shared() -> bool:
        held = [newest(name) for name in names]
        return sorted(map(len, held)) == [1, 1] and held[0] != held[1]

    await eventually(is_shared, lambda: {name: newest(name) for name in names})


def test_partitions_of_a_lane_commit_together(deploy: Callable[..., Any]) -> None:
    """What waits while a transaction is under way goes out in one; each ledger has its own."""

    async def drill() -> None:
        deployment = await deploy(**LANES)
        settings = _settings(deployment, "own", 2)
        lanes = Lanes(settings)
        ledgers = [await open_ledger(settings, partition, lanes) for partition in (0, 2, 4, 6)]
        lane = await lanes.enter(0)
        sent: list[int] = []
        publish = lane._publish

        async def counted(taken: Any) -> None:
            sent.append(len(taken))
            await publish(taken)

        lane._publish = counted  # type: ignore[method-assign]
        for at in range(3):
            change = {b"x": b"%d" % at}
            await asyncio.gather(*(one.commit(change, [], Positions({"t": at})) for one in ledgers))
        assert sum(sent) == 12
        assert len(sent) <= 6
        for ledger in ledgers:
            await ledger.close()
        again = Lanes(settings)
        for partition in (0, 2, 4, 6):
            ledger = await open_ledger(settings, partition, again)
            assert ledger.get_many([b"x"]) == [b"2"]
            assert (ledger.positions.offsets, ledger.positions.lanes) == ({"t": 2}, 2)
            await ledger.close()

    asyncio.run(drill())


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 3), (3, 0)])
def test_another_number_of_lanes_fences_those_of_before(
    before: int, after: int, deploy: Callable[..., Any]
) -> None:
    """A worker frozen under other lanes comes back to a fence, and what it did is read."""

    async def drill() -> None:
        deployment = await deploy(**LANES)
        first = _settings(deployment, "old", before)
        old = await open_ledger(first, 4)
        await old.commit({b"x": b"1"}, [], Positions({"t": 1}))
        heir = await open_ledger(_settings(deployment, "heir", after), 4)
        assert heir.get_many([b"x"]) == [b"1"]
        with pytest.raises(LedgerError, match="fenced"):
            await old.commit({b"x": b"2"}, [], Positions({"t": 2}))
        # The process would end here; the test lives on and must leave nothing open.
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(old.close(), PATIENCE_S)
        await heir.commit({b"y": b"3"}, [], Positions({"t": 2}))
        assert heir.positions.lanes == after
        await heir.close()
        again = await open_ledger(_settings(deployment, "again", after), 4)
        assert again.get_many([b"x", b"y"]) == [b"1", b"3"]
        await again.close()

    asyncio.run(drill())
