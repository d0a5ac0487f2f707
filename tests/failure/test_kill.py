"""``kill -9`` at random moments, half of the times with the state folder lost."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import SHORT_SESSION, Script, committed_lag, lose_disk, produce, verify
from patience import PATIENCE_S


async def killed(
    deploy: Callable[..., Any], *, kills: int, pairs: int, rate: float, seed: int
) -> Any:
    deployment = await deploy(**SHORT_SESSION)
    script = Script(pairs=pairs, seed=seed, shadow_share=0.1)
    rng = random.Random(seed)
    producing = asyncio.create_task(produce(deployment, script, rate))
    try:
        for number in range(kills):
            worker = deployment.start()
            # A random moment is the point of this drill: from before the join to full flow.
            await asyncio.sleep(rng.uniform(0.5, 4.0))
            assert worker.poll() is None, deployment.log()[-3000:]
            worker.kill()
            worker.wait()
            if number % 2:
                lose_disk(deployment)
        deployment.start()
        await producing
    finally:
        producing.cancel()
    result = await verify(deployment, script)
    return deployment, result


@pytest.mark.broker
def test_kill_short_loses_and_doubles_nothing(deploy: Callable[..., Any]) -> None:
    """Four kills under load, two with a lost disk: each label counts once, offsets catch up."""

    async def drill() -> None:
        deployment, _ = await killed(deploy, kills=4, pairs=8_000, rate=2_000, seed=11)
        deadline = time.monotonic() + PATIENCE_S
        while (lag := await committed_lag(deployment)) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        assert lag == 0

    asyncio.run(drill())


@pytest.mark.broker
@pytest.mark.drill
@pytest.mark.timeout(900)
def test_kill_twenty_times_loses_and_doubles_nothing(deploy: Callable[..., Any]) -> None:
    """Twenty kills under load, ten with a lost disk: every label counts exactly once."""

    async def drill() -> None:
        _, result = await killed(deploy, kills=20, pairs=100_000, rate=4_000, seed=12)
        print(f"20 kills, 10 disks lost: {result}")

    asyncio.run(drill())
