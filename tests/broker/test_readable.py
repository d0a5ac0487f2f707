"""What a real worker makes of records without a time, of huge labels, classes and early labels."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from estate import pairs, run
from harness import Deployment, read_all, route_states, wait_for_count
from patience import eventually

from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

pytestmark = pytest.mark.broker

LABEL_IS_REWARD = {
    "LEVERFRAME_ROUTES__*__REWARD__NAME": "label",
    "LEVERFRAME_ROUTES__*__REWARD__PARAMS__HIGH": "100.0",
}


async def send(deployment: Deployment, *records: Any, time_ms: int | None = None) -> None:
    """Send predictions and labels in their order, a batch for each."""
    topics = deployment.settings.topic_names
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    await producer.start()
    try:
        for record in records:
            is_label = isinstance(record, GroundTruth)
            topic = topics.ground_truth if is_label else topics.predictions
            key = record.request_id.encode()
            await producer.send_and_wait(topic, encode(record), key, timestamp_ms=time_ms)
    finally:
        await producer.stop()


def said(request_id: str, arm: str = "a", prediction: Any = 1) -> Prediction:
    return Prediction(request_id=request_id, route="r", arm=arm, prediction=prediction)


def label(request_id: str, value: Any = 1) -> GroundTruth:
    return GroundTruth(request_id=request_id, label=value)


async def letters(deployment: Deployment, count: int) -> list[tuple[str, str]]:
    """Topic and reason of the dead letters, once there are so many."""
    settings = deployment.settings

    async def found() -> list[Any]:
        records = await read_all(
            settings.broker.servers,
            settings.topic_names.dead_letters,
            settings.topics.route_partitions,
        )
        return records if len(records) >= count else []

    headers = [dict(record.headers) for record in await eventually(found, deployment.logs)]
    return sorted(
        (one["leverframe.topic"].decode(), one["leverframe.reason"].decode()) for one in headers
    )


def test_the_producers_record_is_the_dead_letter(deploy: Callable[..., Any]) -> None:
    """A record without a time, a label beyond what a reward can be: named where they came from."""

    async def scenario() -> None:
        deployment = await deploy(**LABEL_IS_REWARD)
        topics = deployment.settings.topic_names
        deployment.start()
        await send(deployment, said("m"), label("m"), time_ms=-1)
        await send(deployment, said("h"), label("h", 1.7e308), said("ok"), label("ok"))
        states = await wait_for_count(deployment, 1)
        assert states["r"].labels == 1
        assert await letters(deployment, 3) == sorted(
            [
                (topics.ground_truth, "invalid"),
                (topics.ground_truth, "unrewardable"),
                (topics.predictions, "invalid"),
            ]
        )

    asyncio.run(scenario())


def test_classes_are_one_class_however_they_are_written(deploy: Callable[..., Any]) -> None:
    """One server writes its class as text, another as true: all of them are right."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        for number, name in enumerate(pairs("q", 12)):
            value = (1, "1", True, "true")[number % 4]
            await send(deployment, said(name, f"arm-{number % 4}", value), label(name, 1))
        states = await wait_for_count(deployment, 12)
        arms = states["r"].arms.values()
        assert [arm.sum_nano / arm.count for arm in arms] == [1e9] * 4

        async def told() -> int:
            states = await route_states(deployment)
            return states["r"].join.totals.get("unlike_types", 0)

        await eventually(told, deployment.logs)

    asyncio.run(scenario())


def test_early_labels_count_as_labels(deploy: Callable[..., Any]) -> None:
    """In status, once they met their predictions."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        names = pairs("e")
        await send(deployment, *map(label, names))
        await send(deployment, *map(said, names))
        await wait_for_count(deployment, 10)

        async def counted() -> bool:
            told = await asyncio.to_thread(run, deployment, "status", "r", "--json")
            joins = orjson.loads(told.stdout)[0]["cause"].get("joins", {})
            return bool(joins.get("label") == joins.get("labelled") == 10)

        await eventually(counted, deployment.logs)

    asyncio.run(scenario())
