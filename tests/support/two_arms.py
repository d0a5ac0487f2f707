"""A serving system that answers by shares it is told, on one route of two arms; and its replay."""

import asyncio
import random
from typing import Any

from harness import Deployment

from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes


class Serving:
    """Answers by the shares that it is told, right so often, and is labelled at once."""

    def __init__(self, deployment: Deployment, producer: Any, seed: int) -> None:
        self.topics, self.producer = deployment.settings.topic_names, producer
        self.rng, self.sent = random.Random(seed), 0

    async def serve(self, count: int, share: float, **rates: float) -> None:
        for _ in range(count):
            self.sent += 1
            key = f"q{self.sent}"
            arm = "b" if self.rng.random() < share else "a"
            label = int(self.rng.random() < rates[arm])
            prediction = Prediction(request_id=key, route="r", arm=arm, prediction=1)
            truth = GroundTruth(request_id=key, label=label)
            raw = key.encode()
            await self.producer.send(self.topics.predictions, encode(prediction), key=raw)
            await self.producer.send(self.topics.ground_truth, encode(truth), key=raw)
            await asyncio.sleep(0.002)
        await self.producer.flush()


async def newest(deployment: Deployment) -> ControlMessage | None:
    return (await newest_messages(deployment.settings)).get("r")


async def replayed(deployment: Deployment) -> str:
    settings = deployment.settings
    records = await read_partition(settings, "r")
    states = replay(
        records,
        compile_routes(settings.routes),
        input_kinds(settings),
        max_value_bytes=settings.app.max_value_bytes,
    )
    return state_digest(states["r"])
