"""The five estates of examples/ are read by their settings, on a real broker, in one worker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from estates import deploy_estate, letters_of, make_topics
from harness import wait_for_rewards
from patience import PATIENCE_S
from registry_server import RegistryServer

from leverframe.agents.settings import load_settings

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples" / "sources").glob("*.toml"))
COUNT = 60


def test_examples_become_rewards(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Each request of each estate is rewarded, and no record is set aside."""

    async def scenario(registry: RegistryServer) -> None:
        written = "\n".join(file.read_text() for file in FILES)
        written = written.replace('topic = "', 'topic = "@')
        written = written.replace("http://127.0.0.1:8081", registry.url)
        # Nobody waits two minutes for those who do not click.
        written = written.replace("default_after_s = 120", "default_after_s = 5")
        topics = {
            source.topic for file in FILES for source in load_settings(file, {}).sources.values()
        }
        await make_topics(broker.bootstrap, [unique_prefix + topic for topic in topics])
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written)
        deployment.start()
        for file in FILES:
            command = [sys.executable, "-m", "examples.estates", file.stem, "--count", str(COUNT)]
            await asyncio.to_thread(
                subprocess.run,
                [*command, "--prefix", unique_prefix],
                env={
                    **os.environ,
                    "LEVERFRAME_BROKER": broker.bootstrap,
                    "LEVERFRAME_REGISTRY__URL": registry.url,
                },
                cwd=ROOT,
                check=True,
                timeout=PATIENCE_S,
            )
        wanted = {route: COUNT for file in FILES for route in load_settings(file, {}).routes}
        rewarded: dict[str, set[str]] = {}
        for reward in await wait_for_rewards(deployment, 10 * COUNT, 15):
            rewarded.setdefault(reward.route, set()).add(reward.request_id)
        assert {route: len(ids) for route, ids in rewarded.items()} == wanted, deployment.logs()
        assert [letter.value for letter in await letters_of(deployment)] == []

    with RegistryServer().running() as registry:
        asyncio.run(scenario(registry))
