"""A candidate that errs is off the line before its first label; a replay agrees."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run
from harness import SHORT_SESSION, Deployment, control_messages
from patience import eventually
from two_arms import newest, replayed

from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.command import Command
from leverframe.schemas.measurements import Measurements, route_of_metrics
from leverframe.schemas.prediction import Prediction
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"
_SETTINGS = {
    "LEVERFRAME_TOPICS__PARTITIONS": "1",
    "LEVERFRAME_TOPICS__ROUTE_PARTITIONS": "1",
    _ROUTE + "POLICY": '{ name = "static", params = { weights = { a = 1.0 } } }',
    _ROUTE + "METRICS": '{ error = { role = "guardrail", range = [0, 1] } }',
    _ROUTE + "TTL_S": "3",
}
_ERRS = {"a": 0.005, "b": 0.05}


class Answering:
    """A serving system that says whether each answer failed, and gets no label ever."""

    def __init__(self, deployment: Deployment, producer: AIOKafkaProducer, seed: int) -> None:
        self.topics, self.producer = deployment.settings.topic_names, producer
        self.rng, self.sent = random.Random(seed), 0

    async def ask(self, action: Any, arm: str, **params: Any) -> None:
        command = Command(
            command_id=f"{action}-{arm}",
            route="r",
            action=action,
            arm=arm,
            params=params,
            actor="test",
            issued_at_ms=0,
        )
        await self.producer.send_and_wait(self.topics.commands, encode(command), key=b"r")

    async def answer(self, count: int, share: float) -> None:
        for _ in range(count):
            arm = "b" if self.rng.random() < share else "a"
            metrics = {"error": float(self.rng.random() < _ERRS[arm])}
            name = f"q{self.sent}"
            self.sent += 1
            said = Prediction(
                request_id=name, route="r", arm=arm, prediction=1, propensity=1.0, metrics=metrics
            )
            await self.producer.send(self.topics.predictions, encode(said), key=name.encode())
        await self.producer.flush()


async def measured(deployment: Deployment, until: int | None = None) -> list[str]:
    """The arms of all requests that were told to learning, up to an offset."""
    return [
        one.arm
        for record in await read_partition(deployment.settings, "r")
        if route_of_metrics(record.key) and (until is None or record.offset <= until)
        for one in decode(Measurements, record.value).measured
    ]


@pytest.mark.parametrize("is_killed", [False, pytest.param(True, marks=pytest.mark.drill)])
def test_an_arm_that_errs_is_off_within_150_of_its_requests(
    deploy: Callable[..., Any], *, is_killed: bool
) -> None:
    """5 % errors beside 0.5 %, a ramp's step of 5 %, no label ever; also through a ``kill -9``.

    The seed is one of a usual sample: the median of many is in ``bench.guard.metrics``.
    """

    async def drill() -> None:
        deployment = await deploy(**SHORT_SESSION, **_SETTINGS)
        worker = deployment.start("w0")
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Answering(deployment, producer, 14)
            await serving.ask("register_arm", "a")
            await serving.ask("register_arm", "b")
            await serving.ask("ramp", "b", steps=[5, 50, 100], dwell="10m")

            async def ramps() -> bool:
                message = await newest(deployment)
                return message is not None and message.weights.get("b") == 0.05

            await eventually(ramps, deployment.logs)
            await serving.answer(3000, 0.0)
            await serving.answer(1000, 0.05)
            if is_killed:
                worker.kill()
                worker.wait()
                deployment.start("w1")
            await serving.answer(3000, 0.05)

        async def agrees() -> bool:
            # Every request was told once, whatever was killed, and counted.
            newer = await newest(deployment)
            if newer is None or newer.weights.get("b") or newer.cause["why"] != "heartbeat":
                return False
            told = await measured(deployment)
            return len(told) == serving.sent and await replayed(deployment) == newer.state_digest

        await eventually(agrees, deployment.logs)
        messages = (await control_messages(deployment))["r"]
        (off,) = [one for one in messages if one.cause.get("why") == "metric"]
        assert off.kind == "rollback"
        assert (off.cause["arm"], off.cause["metric"], off.champion) == ("b", "error", "a")
        told = await measured(deployment, off.cause["record"]["offset"])
        assert told.count("b") <= 150
        records = await read_partition(deployment.settings, "r")
        there = replay(
            records,
            compile_routes(deployment.settings.routes),
            input_kinds(deployment.settings),
            max_value_bytes=deployment.settings.app.max_value_bytes,
            until_reward=off.cause["record"]["offset"],
        )
        assert state_digest(there["r"]) == off.state_digest
        shown = await asyncio.to_thread(run, deployment, "explain", "r", "--last", "5")
        assert "b was rolled back by its error: mean 0." in shown.stdout
        assert "--until-reward" in shown.stdout

    asyncio.run(drill())
