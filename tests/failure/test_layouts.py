"""State that a newer version wrote: refused as it is, given up if somebody says so."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from estate import run
from harness import Script, produce, wait_for_count, wait_for_rewards
from msgspec import structs
from patience import PATIENCE_S

import leverframe
from leverframe.agents.ledgers import ledger_settings
from leverframe.streams.runtime import ledger as ledgers
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

pytestmark = pytest.mark.broker


@pytest.mark.drill
def test_a_newer_layout_is_refused_and_can_be_given_up(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker ends with both versions and the cure, and starts again after a restart-from."""

    async def drill() -> None:
        deployment = await deploy()
        worker = deployment.start()
        script = Script(pairs=50, seed=1)
        await produce(deployment, script, 500)
        await wait_for_rewards(deployment, script.rewards, PATIENCE_S)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 0
        own = ledger_settings(deployment.settings, "learning", Memory(1 << 20, 1 << 20))
        settings = structs.replace(own, datadir=deployment.datadir("w") / "newer")
        with monkeypatch.context() as newer:
            newer.setattr(ledgers, "LAYOUT", ledgers.LAYOUT + 1)
            newer.setattr(leverframe, "__version__", "9.8.7")
            for partition in (0, 1):
                ledger = await open_ledger(settings, partition)
                assert ledger.positions.layout == ledgers.LAYOUT - 1
                assert ledger.positions.written_by != "9.8.7"
                await ledger.commit({}, [])
                await ledger.close()
        worker = deployment.start()
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 1
        told = deployment.log()
        assert f"was written by leverframe 9.8.7, in layout {ledgers.LAYOUT + 1}" in told
        assert f"this is {leverframe.__version__}" in told
        assert "Traceback" not in told
        done = await asyncio.to_thread(run, deployment, "restart-from", "beginning", "--yes")
        assert done.returncode == 0, done.stderr
        deployment.start()
        await wait_for_count(deployment, script.rewards, PATIENCE_S)

    asyncio.run(drill())
