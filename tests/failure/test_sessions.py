"""Labels of sessions on a real broker: each is counted once, whoever is killed meanwhile."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run
from harness import Deployment, learned, read_all, recount, route_states
from patience import eventually

from leverframe.schemas.codec import decode, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward

# The sweep comes some seconds after each label.
pytestmark = [pytest.mark.broker, pytest.mark.drill]

SESSIONS, TURNS = 300, 4
RULE = {"LEVERFRAME_ROUTES__R__SESSION_LABEL": "last", "LEVERFRAME_ROUTES__R__REWARD": "label"}


async def talk(deployment: Deployment, first: int, count: int) -> None:
    """Send turns of sessions, then a label of each."""
    topics = deployment.settings.topic_names
    servers = deployment.settings.broker.servers
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        for number in range(first, first + count):
            session = f"chat-{number}"
            for turn in range(TURNS):
                said = Prediction(
                    request_id=f"{session}/{turn}",
                    session_id=session,
                    route="r",
                    arm=f"arm-{(number + turn) % 3}",
                    prediction=turn,
                )
                await producer.send(topics.predictions, encode(said), session.encode())
        await producer.flush()
        for number in range(first, first + count):
            session = f"chat-{number}"
            label = GroundTruth(request_id=session, session_id=session, label=number % 2)
            await producer.send(topics.ground_truth, encode(label), session.encode())


async def told(deployment: Deployment) -> list[Reward]:
    settings = deployment.settings
    records = await read_all(
        settings.broker.servers, settings.topic_names.rewards, settings.topics.route_partitions
    )
    return [decode(Reward, record.value) for record in records]


def test_every_label_of_a_session_counts_once_through_kills(deploy: Callable[..., Any]) -> None:
    """The last turn of each session has its label, no other turn has any, and learning agrees."""

    async def scenario() -> None:
        deployment: Deployment = await deploy(**RULE)
        worker = deployment.start()
        await talk(deployment, 0, SESSIONS // 2)

        async def some() -> bool:
            return bool(await told(deployment))

        await eventually(some, deployment.logs)
        await talk(deployment, SESSIONS // 2, SESSIONS // 2)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        deployment.start()

        async def all_of_them() -> bool:
            return len(await told(deployment)) >= SESSIONS

        await eventually(all_of_them, deployment.logs)
        rewards = await told(deployment)
        found = {reward.request_id: reward.reward for reward in rewards}
        assert found == {f"chat-{n}/{TURNS - 1}": float(n % 2) for n in range(SESSIONS)}
        assert len(rewards) == SESSIONS
        assert {reward.unit_id for reward in rewards} == {f"chat-{n}" for n in range(SESSIONS)}

        async def is_learned() -> bool:
            return learned(await route_states(deployment)) == recount(rewards)

        await eventually(is_learned, deployment.logs)
        replayed = await asyncio.to_thread(run, deployment, "replay", "r")
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr

    asyncio.run(scenario())
