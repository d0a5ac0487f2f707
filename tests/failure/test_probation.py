"""A probation lives through ``kill -9`` and the move to another worker; a replay agrees."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import SHORT_SESSION
from patience import eventually
from two_arms import Serving, newest, replayed

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"


def test_probation_lives_through_a_kill_and_a_rebalance(deploy: Callable[..., Any]) -> None:
    """The second worker knows the suspect, convicts it, and a replay comes to the same digest."""

    async def drill() -> None:
        deployment = await deploy(
            **SHORT_SESSION,
            LEVERFRAME_TOPICS__PARTITIONS="1",
            LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1",
            **{
                _ROUTE + "POLICY": '{ name = "newest" }',
                _ROUTE + "FLOOR": "0.1",
                _ROUTE + "PROMOTE": "false",
                _ROUTE + "TTL_S": "3",
            },
        )
        first = deployment.start("first")
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Serving(deployment, producer, 7)
            # The newer one has the traffic.
            await serving.serve(1, 0.0, a=1.0, b=1.0)
            await serving.serve(1500, 0.9, a=0.95, b=0.95)
            await serving.serve(150, 0.5, a=0.95, b=0.7)

            async def is_suspected() -> bool:
                message = await newest(deployment)
                return message is not None and "probation" in message.cause

            await eventually(is_suspected, deployment.logs)
            before = await newest(deployment)
            first.kill()
            first.wait()
            deployment.start("second")

            async def goes_on() -> bool:
                message = await newest(deployment)
                assert before is not None
                is_new = message is not None and message.seq > before.seq
                return is_new and "probation" in message.cause

            await eventually(goes_on, deployment.logs)
            after = await newest(deployment)
            assert before is not None
            assert after is not None
            assert after.cause["probation"] == before.cause["probation"]
            assert after.weights == before.weights == {"a": 0.5, "b": 0.5}
            await serving.serve(900, 0.5, a=0.95, b=0.5)

            async def agrees() -> bool:
                message = await newest(deployment)
                if message is None or message.quarantined != ["b"]:
                    return False
                return await replayed(deployment) == message.state_digest

            await eventually(agrees, deployment.logs)

    asyncio.run(drill())
