"""Workers that join, leave, freeze and come back while labels flow."""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaError
from harness import SHORT_SESSION, Deployment, Script, produce, verify, wait_for_rewards
from patience import PATIENCE_S, eventually

from drills.fleet import Fleet
from leverframe.schemas.errors import LedgerError
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.runtime.ledger import LedgerSettings, Positions
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

pytestmark = pytest.mark.broker

_OPEN_S = 20.0


async def owns(deployment: Deployment, name: str) -> None:
    """Wait until a worker has opened an attribution ledger."""

    async def is_open() -> bool:
        return re.search(r"attribution-\d+: open", deployment.log(name)) is not None

    await eventually(is_open, lambda: deployment.log(name)[-3000:])


def test_workers_that_join_and_leave_lose_and_double_nothing(deploy: Callable[..., Any]) -> None:
    """A second worker joins, the first leaves by SIGTERM, a third joins: each label counts once."""

    async def drill() -> None:
        deployment = await deploy(**SHORT_SESSION)
        script = Script(pairs=8_000, seed=21, shadow_share=0.1)
        first = deployment.start("first")
        producing = asyncio.create_task(produce(deployment, script, 1_500))
        await owns(deployment, "first")
        deployment.start("second")
        await owns(deployment, "second")
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, PATIENCE_S) == 0, deployment.log("first")[-2000:]
        deployment.start("third")
        await owns(deployment, "third")
        await producing
        await verify(deployment, script)

    asyncio.run(drill())


def test_zombie_is_fenced(deploy: Callable[..., Any]) -> None:
    """A worker frozen past its session and resumed is fenced: it ends, and nothing counts twice."""

    async def drill() -> None:
        deployment = await deploy(**SHORT_SESSION)
        script = Script(pairs=8_000, seed=22, shadow_share=0.1)
        zombie = deployment.start("zombie")
        producing = asyncio.create_task(produce(deployment, script, 1_000))
        await owns(deployment, "zombie")
        await wait_for_rewards(deployment, 500)
        zombie.send_signal(signal.SIGSTOP)
        heir = deployment.start("heir")
        await owns(deployment, "heir")
        zombie.send_signal(signal.SIGCONT)
        await producing
        if heir.poll() is not None:
            # The zombie may fence the heir before it is fenced itself: the platform starts it anew.
            deployment.start("heir")
        await verify(deployment, script)
        # It either met the fence and ended, or found in time that it had lost its partitions.
        assert zombie.poll() in {None, 1}, deployment.log("zombie")[-2000:]
        if zombie.poll() == 1:
            assert "fenced" in deployment.log("zombie")

    asyncio.run(drill())


def test_old_owner_of_a_ledger_is_fenced(deploy: Callable[..., Any]) -> None:
    """Once another has taken a partition over, the old owner's commit is refused, and only its."""

    async def drill() -> None:
        deployment = await deploy()
        settings = deployment.settings
        shared = LedgerSettings(
            app_id=settings.topic_names.prefix,
            agent="attribution",
            changelog=settings.topic_names.attribution_changelog,
            datadir=deployment.folder / "old",
            broker=settings.broker,
            memory=Memory(1 << 20, 8 << 20),
        )
        old = await open_ledger(shared, 0)
        await old.commit({b"x": b"1"}, [])
        heir = await open_ledger(
            msgspec.structs.replace(shared, datadir=deployment.folder / "heir"), 0
        )
        assert heir.get_many([b"x"]) == [b"1"]
        with pytest.raises(LedgerError, match="fenced"):
            await old.commit({b"x": b"2"}, [])
        # The process would end here; the test lives on and must leave nothing open.
        with contextlib.suppress(KafkaError, asyncio.TimeoutError):
            await asyncio.wait_for(old.close(), PATIENCE_S)
        await heir.commit({b"y": b"3"}, [])
        await heir.close()
        again = await open_ledger(
            msgspec.structs.replace(shared, datadir=deployment.folder / "again"), 0
        )
        assert again.get_many([b"x", b"y"]) == [b"1", b"3"]
        assert again.restored >= 2
        await again.close()

    asyncio.run(drill())


def test_reads_see_the_transaction_under_way(deploy: Callable[..., Any]) -> None:
    """The next micro-batch is prepared on what the one before will have changed."""

    async def drill() -> None:
        deployment = await deploy()
        settings = deployment.settings
        ledger = await open_ledger(
            LedgerSettings(
                app_id=settings.topic_names.prefix,
                agent="attribution",
                changelog=settings.topic_names.attribution_changelog,
                datadir=deployment.folder / "own",
                broker=settings.broker,
                memory=Memory(1 << 20, 8 << 20),
            ),
            0,
        )
        await ledger.commit({b"x": b"1", b"y": b"1", b"z": b"1"}, [])
        first = await ledger.begin_commit({b"x": b"2", b"y": None}, [], Positions({"t": 5}))
        assert not first.done()
        assert ledger.get_many([b"z", b"x", b"y", b"x", b"w"]) == [b"1", b"2", None, b"2", None]
        assert ledger.positions.offsets == {"t": 5}
        second = await ledger.begin_commit({b"x": b"3"}, [])
        assert first.done()
        assert ledger.get_many([b"x", b"y"]) == [b"3", None]
        await second
        assert dict(ledger.scan(b"\x01")) == {b"x": b"3", b"z": b"1"}
        await ledger.close()

    asyncio.run(drill())


@pytest.mark.drill
def test_spare_worker_takes_over_however_long_it_had_nothing_to_do(
    deploy: Callable[..., Any],
) -> None:
    """A worker without partitions stays in the group past the poll interval, and inherits."""

    async def drill() -> None:
        deployment = await deploy(
            LEVERFRAME_TOPICS__PARTITIONS="1",
            LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1",
            LEVERFRAME_APP__POLL_INTERVAL_S="5",
        )
        owner = deployment.start("owner")
        await owns(deployment, "owner")
        spare = deployment.start("spare")
        # What is tested is that this time passes without harm.
        await asyncio.sleep(11)
        heir_name, gone = ("spare", owner)
        if re.search(r"attribution-\d+: open", deployment.log("spare")):
            heir_name, gone = ("owner", spare)
        before = len(re.findall(r"attribution-\d+: open", deployment.log(heir_name)))
        gone.kill()
        gone.wait()
        script = Script(pairs=500, seed=23)
        await produce(deployment, script, 1000)
        await verify(deployment, script)
        after = len(re.findall(r"attribution-\d+: open", deployment.log(heir_name)))
        assert after == before + 1

    asyncio.run(drill())


def _is_alive(pid: int) -> bool:
    """Whether our child still runs; it is reaped when it does not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists()


def test_worker_and_subscriber_survive_a_broker_restart(tmp_path: Path) -> None:
    """The broker is killed and comes back: nothing is lost or doubled, nobody had to restart."""
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import start_broker

    options = {"data_dir": tmp_path / "broker", "cache": cache_root(), "report": print}

    async def drill() -> None:
        running = start_broker(port=None, detached=False, **options)  # type: ignore[arg-type]
        deployment = await Deployment.create(running.bootstrap, "restart-", tmp_path)
        fleet = Fleet(deployment)
        try:
            async with fleet.supervised():
                fleet.start("w")
                script = Script(pairs=4000, seed=24, shadow_share=0.1)
                producing = asyncio.create_task(produce(deployment, script, 1000))
                await wait_for_rewards(deployment, 300)
                topics = deployment.settings.topic_names
                async with Subscriber(running.bootstrap, control=topics.control) as routing:
                    gone_s = time.monotonic()
                    os.kill(running.pid, signal.SIGKILL)
                    port = int(running.bootstrap.rpartition(":")[2])
                    while _is_alive(running.pid):
                        await asyncio.sleep(0.1)
                    running = start_broker(port=port, detached=False, **options)  # type: ignore[arg-type]
                    away_s = time.monotonic() - gone_s
                    await producing
                    await verify(deployment, script)
                    # A broker aborts what was open for 30 s: on a machine as slow as that the
                    # worker had to end, and all else must hold none the less.
                    assert not fleet.exits or away_s > _OPEN_S, deployment.log()[-3000:]
                    assert routing.in_force("route-0") is not None
        finally:
            running.stop()

    asyncio.run(drill())
