"""Labels that come all at once, on a real broker: judged in their burst, and a replay agrees."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import read_all
from patience import eventually

from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.command import Command
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker


def test_burst_is_judged_without_another_label(deploy: Callable[..., Any]) -> None:
    """A broken arm is rolled back a second after its burst, by a command of the job itself."""

    async def run() -> None:
        deployment = await deploy(
            LEVERFRAME_ROUTES__R__WINDOW_S="86400",
            LEVERFRAME_ROUTES__R__PROMOTE="false",
            LEVERFRAME_ROUTES__R__TTL_S="3",
        )
        settings = deployment.settings
        topics, servers = settings.topic_names, settings.broker.servers
        rng = random.Random(8)
        now_ms = time.time_ns() // 1_000_000
        deployment.start()

        async def newest() -> Any:
            return (await newest_messages(settings)).get("r")

        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            sent = 0
            for hours, rates in ((2, {"a": 0.95, "b": 0.95}), (1, {"a": 0.95, "b": 0.2})):
                at_ms = now_ms - hours * 3_600_000
                for i in range(250):
                    arm = "ab"[i % 2]
                    request = f"q{sent}"
                    sent += 1
                    told = {"key": request.encode(), "timestamp_ms": at_ms}
                    made = Prediction(request_id=request, route="r", arm=arm, prediction=1)
                    label = GroundTruth(request_id=request, label=int(rng.random() < rates[arm]))
                    await producer.send(topics.predictions, encode(made), **told)
                    await producer.send(topics.ground_truth, encode(label), **told)
                await producer.flush()
                labels = sent

                async def are_counted(labels: int = labels) -> bool:
                    message = await newest()
                    arms = {} if message is None else message.cause.get("arms", {})
                    return sum(arm["labels"] for arm in arms.values()) == labels

                await eventually(are_counted, deployment.log)

        async def is_judged() -> bool:
            message = await newest()
            return message is not None and message.quarantined == ["b"]

        await eventually(is_judged, deployment.log)
        asked = [
            decode(Command, record.value)
            for record in await read_all(servers, topics.commands, settings.topics.route_partitions)
        ]
        assert {command.action for command in asked} == {"decide"}
        assert {command.actor for command in asked} == {"leverframe"}

        async def agrees() -> bool:
            states = replay(
                await read_partition(settings, "r"),
                compile_routes(settings.routes),
                input_kinds(settings),
                max_value_bytes=settings.app.max_value_bytes,
            )
            return state_digest(states["r"]) == (await newest()).state_digest

        await eventually(agrees, deployment.log)

    asyncio.run(run())
