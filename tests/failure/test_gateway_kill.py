"""A gateway that is killed loses nothing of what it told as durable."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from gateways import Gateway, post
from harness import Deployment, read_all
from patience import eventually

pytestmark = pytest.mark.broker

CALLERS = 8
KILLS = 2


def test_kill_loses_nothing_that_got_202(deploy: Callable[..., Any]) -> None:
    """Callers send as fast as they are answered while it is killed, again and again."""

    async def scenario() -> None:
        deployment: Deployment = await deploy()
        durable: set[str] = set()
        refused: list[int] = []

        async def call(session: Any, caller: str) -> None:
            for number in range(10_000_000):
                names = [f"{caller}-{number}-{n}" for n in range(5)]
                body = [{"request_id": name, "label": 1} for name in names]
                try:
                    status, _ = await post(session, "/v1/labels", body)
                except (aiohttp.ClientError, OSError):
                    return  # it was killed
                if status == 202:
                    durable.update(names)
                else:
                    refused.append(status)

        for kill in range(KILLS):
            gateway, before = Gateway(deployment, f"gateway-{kill}").wait(), len(durable)
            async with aiohttp.ClientSession(gateway.url) as session:
                calls = [
                    asyncio.create_task(call(session, f"{kill}-{number}"))
                    for number in range(CALLERS)
                ]

                async def many(least: int = before + 500) -> bool:
                    return len(durable) > least

                await eventually(many, deployment.logs)
                gateway.process.kill()
                gateway.process.wait()
                await asyncio.gather(*calls)
        settings = deployment.settings
        records = await read_all(
            settings.broker.servers, settings.topic_names.ground_truth, settings.topics.partitions
        )
        written = {record.key.decode() for record in records}
        assert durable - written == set()
        assert len(durable) > 500 * KILLS
        assert refused == []

    asyncio.run(scenario())
