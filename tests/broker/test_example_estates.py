"""The five estates of examples/ are read by their settings, on a real broker, in one worker."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from estates import deploy_estate, letters_of, make_topics
from harness import read_all
from patience import PATIENCE_S, eventually
from registry_server import RegistryServer

from leverframe.agents.settings import load_settings
from leverframe.schemas.codec import decode
from leverframe.schemas.reward import Reward

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples" / "sources").glob("*.toml"))
COUNT = 60


def reward_in(record: Any) -> Reward:
    return decode(Reward, record.value)


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
        settings = deployment.settings
        where = settings.broker.servers, settings.topic_names.rewards

        async def rewarded() -> dict[str, int]:
            records = await read_all(*where, settings.topics.route_partitions)
            told = {(one.route, one.request_id) for one in map(reward_in, records)}
            return dict(Counter(route for route, _ in told))

        async def are_all() -> bool:
            return await rewarded() == wanted

        await eventually(are_all, deployment.logs)
        assert [letter.value for letter in await letters_of(deployment)] == []

    with RegistryServer().running() as registry:
        asyncio.run(scenario(registry))
