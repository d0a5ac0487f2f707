"""Workers that join, leave, freeze and come back while labels flow."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from harness import Deployment, Script, produce, verify, wait_for_rewards

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


async def owns(deployment: Deployment, name: str, text: str = "attribution-") -> None:
    """Wait until a worker has opened a ledger."""
    for _ in range(300):
        if f"{text}" in deployment.log(name) and "restored in" in deployment.log(name):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(deployment.log(name)[-3000:])


def test_workers_that_join_and_leave_lose_and_double_nothing(deploy: Callable[..., Any]) -> None:
    """A second worker joins, the first leaves by SIGTERM, a third joins: each label counts once."""

    async def drill() -> None:
        deployment = await deploy()
        script = Script(pairs=12_000, seed=21)
        first = deployment.start("first")
        producing = asyncio.create_task(produce(deployment, script, 1_500))
        await owns(deployment, "first")
        deployment.start("second")
        await owns(deployment, "second")
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 20) == 0, deployment.log("first")[-2000:]
        deployment.start("third")
        await owns(deployment, "third")
        await producing
        await verify(deployment, script)

    asyncio.run(drill())


def test_zombie_is_fenced(deploy: Callable[..., Any]) -> None:
    """A worker frozen past its session and resumed is fenced: it ends, and nothing counts twice."""

    async def drill() -> None:
        deployment = await deploy()
        script = Script(pairs=12_000, seed=22)
        zombie = deployment.start("zombie")
        producing = asyncio.create_task(produce(deployment, script, 1_000))
        await owns(deployment, "zombie")
        await wait_for_rewards(deployment, 500, 20)
        zombie.send_signal(signal.SIGSTOP)
        deployment.start("heir")
        await owns(deployment, "heir")
        zombie.send_signal(signal.SIGCONT)
        await producing
        await verify(deployment, script)
        # It either met the fence and ended, or found that it lost its partitions and rejoined.
        assert zombie.poll() in {None, 1}, deployment.log("zombie")[-2000:]
        if zombie.poll() == 1:
            assert "fenced" in deployment.log("zombie")

    asyncio.run(drill())
