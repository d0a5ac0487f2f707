"""Workers with a lasting name: a restart moves no partition, and nobody else pauses."""

import asyncio
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from harness import Deployment, Script, produce, verify, wait_for_rewards
from patience import PATIENCE_S, eventually

pytestmark = pytest.mark.broker

SESSION = {"LEVERFRAME_APP__SESSION_TIMEOUT_S": "40"}


def start(deployment: Deployment, name: str, instance: str = "") -> Any:
    return deployment.start(name, LEVERFRAME_APP__INSTANCE=instance or name)


def opened(deployment: Deployment, name: str) -> list[str]:
    """Ledgers that a worker of this name has opened, in their order."""
    return re.findall(r"((?:attribution|learning)-\d+): open", deployment.log(name))


def test_a_restart_moves_no_partition(deploy: Callable[..., Any]) -> None:
    """One of two is restarted while labels flow: the other opens nothing; all counts once."""

    async def drill() -> None:
        deployment = await deploy(**SESSION)
        script = Script(pairs=6_000, seed=71)
        start(deployment, "stays")
        restarted = start(deployment, "goes")
        producing = asyncio.create_task(produce(deployment, script, 1_000))

        async def both_work() -> bool:
            held = [{*opened(deployment, name)[-3:]} for name in ("stays", "goes")]
            return len(held[0] | held[1]) == 6

        await eventually(both_work, deployment.logs)
        await wait_for_rewards(deployment, 1_000)
        before = opened(deployment, "stays")
        own = opened(deployment, "goes")
        restarted.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(restarted.wait, PATIENCE_S) == 0, deployment.log("goes")
        start(deployment, "goes")

        async def is_back() -> bool:
            return {*opened(deployment, "goes")[len(own) :]} == {*own[-3:]}

        await eventually(is_back, deployment.logs)
        await producing
        await verify(deployment, script)
        assert opened(deployment, "stays") == before

    asyncio.run(drill())


def test_of_two_workers_of_one_name_one_ends(deploy: Callable[..., Any]) -> None:
    """The group knows one of each name: whoever lost it ends and says so; nothing counts twice.

    The older one as a rule; where a commit tells it first that it is not known, it joins once more,
    and each may fence the other. The platform starts again what ended.
    """

    async def drill() -> None:
        deployment = await deploy(**SESSION)
        script = Script(pairs=2_000, seed=72)
        first = start(deployment, "first", "same")
        await produce(deployment, script, 2_000)
        await wait_for_rewards(deployment, 500)
        both = {"first": first, "second": start(deployment, "second", "same")}

        async def one_has_ended() -> bool:
            return any(worker.poll() is not None for worker in both.values())

        await eventually(one_has_ended, deployment.logs)
        ended = [name for name, worker in both.items() if worker.poll() is not None]
        for name in ended:
            assert both[name].poll() in {1, 2}, deployment.logs()
            # Whichever comes first: the group's answer, or the fence of a ledger.
            log = deployment.log(name)
            assert "no two workers may have one name" in log or "this one was fenced" in log
        if len(ended) == len(both):
            start(deployment, "third", "same")
        await verify(deployment, script)

    asyncio.run(drill())
