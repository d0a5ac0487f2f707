"""The closed loop on a real broker: who applied a command, and what happens when nobody does."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import Deployment, control_messages
from patience import PATIENCE_S

from leverframe.agents.operator.commands import Answer, ask
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber

pytestmark = pytest.mark.broker


async def order(deployment: Deployment, action: Any, arm: str, acks_s: float = 0.0) -> Answer:
    return await ask(
        deployment.settings,
        "r",
        action,
        arm=arm,
        params=None,
        actor="test",
        timeout_s=PATIENCE_S,
        acks_s=acks_s,
    )


def test_command_says_which_replicas_applied_it(deploy: Callable[..., Any]) -> None:
    """A rollback is acknowledged by both replicas; a replica that is gone is named as behind."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__TTL_S="1.5")
        deployment.start()
        settings = deployment.settings
        topics = settings.topic_names

        def replica(name: str) -> Subscriber:
            return Subscriber(
                settings.broker.servers,
                control=topics.control,
                acks=topics.control_acks,
                replica=name,
            )

        async with replica("web-1"):
            async with replica("web-2"):
                for arm in ("a", "b", "c"):
                    await order(deployment, "register_arm", arm)
                for _ in range(60):
                    answer = await order(deployment, "pin", "a", acks_s=10.0)
                    if len(answer.message.cause.get("replicas", [])) == 2:
                        break
                assert answer.message.cause["replicas"] == ["web-1", "web-2"]
                answer = await order(deployment, "rollback", "b", acks_s=10.0)
                assert answer.behind == []
                assert answer.applied_in_ms is not None
                assert answer.applied_in_ms < 10_000
            answer = await order(deployment, "rollback", "c", acks_s=10.0)
            assert answer.behind == ["web-2"]

    asyncio.run(scenario())


def test_traffic_after_a_rollback_raises_an_alarm(deploy: Callable[..., Any]) -> None:
    """A server that goes on serving a rolled-back arm is noticed from its predictions."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__FOLLOWING__GRACE_S="0.5")
        deployment.start()
        settings = deployment.settings
        for arm in ("a", "b"):
            await order(deployment, "register_arm", arm)
        message = (await order(deployment, "rollback", "b")).message
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers)
        await producer.start()
        try:
            alarms: dict[str, ControlMessage] = {}
            deadline = time.monotonic() + PATIENCE_S
            number = 0
            while len(alarms) < 2:
                assert time.monotonic() < deadline, f"raised so far: {list(alarms)}"
                number += 1
                prediction = Prediction(
                    request_id=f"q{number}",
                    route="r",
                    arm="b",
                    prediction=1,
                    epoch=message.epoch,
                    seq=message.seq,
                )
                key = prediction.request_id.encode()
                topic = settings.topic_names.predictions
                await producer.send_and_wait(topic, encode(prediction), key=key)
                if number % 50:
                    continue
                alarms = {
                    str(found.cause["why"]): found
                    for found in (await control_messages(deployment))["r"]
                    if found.cause["why"] in {"rollback_not_effective", "weights_not_followed"}
                }
            found = alarms["rollback_not_effective"]
            assert found.cause["arm"] == "b"
            assert found.cause["served_after_grace"] > 0
            assert found.weights == {"a": 1.0, "b": 0.0}
        finally:
            await producer.stop()

    asyncio.run(scenario())
