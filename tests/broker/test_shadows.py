"""Answers in shadow on a real broker: early, late, over a kill; a promotion; the replay."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from harness import SHORT_SESSION, Deployment, control_messages, learned, read_all, route_states
from patience import PATIENCE_S, eventually

from leverframe.agents.cli.main import cli
from leverframe.agents.operator.commands import ask
from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.policies.units import NANO
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"
RIGHT = {"a": 0.75, "b": 0.95}
CHUNK = 300


class Client:
    """Serves the champion and lets the other arm answer too, some of them after the label.

    ``served`` and ``shadows`` hold, by arm, what each must come to: labels, and how many are right.
    """

    def __init__(self, deployment: Deployment, producer: Any) -> None:
        self.deployment, self.producer = deployment, producer
        self.rng, self.sent, self.late = random.Random(23), 0, 0
        self.served: dict[str, list[int]] = {"a": [0, 0], "b": [0, 0]}
        self.shadows: dict[str, list[int]] = {"a": [0, 0], "b": [0, 0]}

    async def send(self, topic: str, record: Prediction | GroundTruth) -> None:
        await self.producer.send(topic, encode(record), key=record.request_id.encode())

    async def chunk(self, champion: str) -> None:
        """Requests with an answer beside each; those in shadow before their labels, or after."""
        topics = self.deployment.settings.topic_names
        late: list[Prediction] = []
        for _ in range(CHUNK):
            self.sent += 1
            key, truth = f"q{self.sent}", self.rng.randrange(2)
            for arm in ("a", "b"):
                is_right = self.rng.random() < RIGHT[arm]
                is_served = arm == champion
                answer = Prediction(
                    request_id=key, route="r", arm=arm, prediction=truth if is_right else 1 - truth,
                    propensity=1.0 if is_served else None, served=is_served,
                )  # fmt: skip
                totals = (self.served if is_served else self.shadows)[arm]
                totals[0] += 1
                totals[1] += is_right
                if is_served or self.rng.random() < 0.7:
                    await self.send(topics.predictions, answer)
                else:
                    late.append(answer)
            if self.rng.random() < 0.1:
                await self.send(topics.ground_truth, GroundTruth(request_id=key, label=1 - truth))
            await self.send(topics.ground_truth, GroundTruth(request_id=key, label=truth))
        await self.producer.flush()
        await eventually(lambda: self.is_counted(self.served), self.deployment.logs)
        for answer in late:
            await self.send(topics.predictions, answer)
        self.late += len(late)
        await self.producer.flush()

    def together(self) -> dict[str, list[int]]:
        """What served answers and those in shadow come to."""
        return {
            arm: [n + m for n, m in zip(own, self.shadows[arm], strict=True)]
            for arm, own in self.served.items()
        }

    async def is_counted(self, served: dict[str, list[int]]) -> bool:
        """Whether every label of a served answer has its reward."""
        rewards = await rewards_of(self.deployment)
        ids = {one.request_id for one in rewards if one.served}
        return len(ids) == sum(labels for labels, _ in served.values())


async def rewards_of(deployment: Deployment) -> list[Reward]:
    settings = deployment.settings
    records = await read_all(
        settings.broker.servers, settings.topic_names.rewards, settings.topics.route_partitions
    )
    return [decode(Reward, record.value) for record in records]


def in_force(rewards: list[Reward], *, served: bool) -> dict[tuple[str, str], tuple[int, int]]:
    """Recount from the topic alone: add ``reward``, take ``previous_reward`` out."""
    counts, sums = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in rewards:
        if one.served == served:
            for value, sign in ((one.reward, 1), (one.previous_reward, -1)):
                if value is not None:
                    counts[one.route, one.arm] += sign
                    sums[one.route, one.arm] += sign * round(value * NANO)
    return {key: (count, sums[key]) for key, count in counts.items() if count}


async def order(deployment: Deployment, arm: str, params: dict[str, Any] | None) -> None:
    await ask(
        deployment.settings, "r", "register_arm", arm=arm, params=params, actor="test",
        timeout_s=PATIENCE_S,
    )  # fmt: skip


def told(totals: dict[str, list[int]]) -> dict[tuple[str, str], tuple[int, int]]:
    return {("r", arm): (n, right * NANO) for arm, (n, right) in totals.items() if n}


def test_an_arm_is_promoted_from_shadow_over_a_kill(deploy: Callable[..., Any]) -> None:
    """Rewards served and in shadow are exact, each apart, and a replay comes to the same digest."""

    async def scenario() -> Deployment:
        deployment = await deploy(
            **SHORT_SESSION,
            **{
                _ROUTE + "LABEL_DEPENDS_ON_ANSWER": "false",
                _ROUTE + "SHADOW_SHARE": "1.0",
                _ROUTE + "REGISTER_ARMS": "command",
                _ROUTE + "MAX_STEP": "1.0",
                _ROUTE + "POLICY": '{ name = "newest" }',
                _ROUTE + "TTL_S": "3",
            },
        )
        worker = deployment.start()
        await order(deployment, "a", None)
        # A prior: known to policies alone, part of the state over the kill and of the replay's.
        await order(deployment, "b", {"shadow": True, "prior": [300, 100]})
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            client = Client(deployment, producer)
            sending = asyncio.create_task(client.chunk("a"))
            await eventually(lambda: rewards_of(deployment), deployment.logs)
            worker.kill()
            worker.wait()
            deployment.start()
            await sending
            champion = "a"
            while champion == "a":
                assert client.sent < 10 * CHUNK, "not promoted"
                await client.chunk(champion)
                champion = (await newest_messages(deployment.settings))["r"].champion or ""
            await client.chunk("b")

        async def is_exact() -> bool:
            states = await route_states(deployment)
            is_apart = learned(states, in_shadow=True) == told(client.shadows)
            return is_apart and learned(states) == told(client.together())

        await eventually(is_exact, deployment.logs)
        assert (await route_states(deployment))["r"].arms["b"].prior == [75 * NANO, 25 * NANO]
        rewards = await rewards_of(deployment)
        assert in_force(rewards, served=True) == told(client.served)
        assert in_force(rewards, served=False) == told(client.shadows)
        assert client.late > 50
        # A shadow after its label tells of the served answer; otherwise that one tells of it.
        after = {one.request_id for one in rewards if not one.served and one.others}
        assert client.late <= len(after)
        assert any(one.served and one.others for one in rewards)
        [promotion] = [
            one for one in (await control_messages(deployment))["r"] if one.kind == "promotion"
        ]
        assert (promotion.champion, promotion.cause["labels"]) == ("b", 0)
        assert promotion.cause["pairs"] > 30

        async def agrees() -> bool:
            state = (await route_states(deployment))["r"]
            states = replay(
                await read_partition(deployment.settings, "r"),
                compile_routes(deployment.settings.routes),
                input_kinds(deployment.settings),
                max_value_bytes=deployment.settings.app.max_value_bytes,
            )
            newest = (await newest_messages(deployment.settings))["r"]
            return state_digest(states["r"]) == state_digest(state) == newest.state_digest

        await eventually(agrees, deployment.logs)
        return deployment

    deployment = asyncio.run(scenario())
    answers = {
        command: CliRunner().invoke(cli, [command, "r"], env=deployment.environment)
        for command in ("status", "explain", "replay")
    }
    assert {one.exit_code for one in answers.values()} == {0}, answers
    assert re.search(r"a beside b: [\d,]+ pairs, worse by 0\.\d+ \(", answers["status"].output)
    assert re.search(r"a beside b: [\d,]+ pairs, worse by", answers["explain"].output)
    assert "as the newest control message" in answers["replay"].output, answers["replay"].output
