"""Where a real worker reads on: offsets that were moved, records removed, topics made anew."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from estate import make_anew, pairs, run, send, stop
from harness import Deployment, committed_lag, read_all, wait_for_rewards
from patience import PATIENCE_S, eventually

from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

pytestmark = pytest.mark.broker


async def rewarded(deployment: Deployment, count: int) -> set[str]:
    return {one.request_id for one in await wait_for_rewards(deployment, count, PATIENCE_S)}


async def until_logged(deployment: Deployment, text: str) -> None:
    async def is_logged() -> bool:
        return text in deployment.log()

    await eventually(is_logged, deployment.logs)


def test_what_the_group_committed_is_a_hint(deploy: Callable[..., Any]) -> None:
    """Offsets moved to the end while the worker is down: what lay there unread is counted."""

    async def scenario() -> None:
        deployment = await deploy()
        worker = deployment.start()
        await send(deployment, pairs("a"))
        await rewarded(deployment, 10)
        await stop(worker)
        await send(deployment, pairs("b"))
        settings = deployment.settings
        topics = settings.topic_names
        group = topics.prefix + settings.app.id
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.broker.servers, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            tps = [
                TopicPartition(topic, partition)
                for topic in (topics.predictions, topics.ground_truth)
                for partition in range(settings.topics.partitions)
            ]
            consumer.assign(tps)
            await consumer.commit(await consumer.end_offsets(tps))
        finally:
            await consumer.stop()
        deployment.start()
        assert await rewarded(deployment, 20) == {*pairs("a"), *pairs("b")}
        assert await committed_lag(deployment) == 0

    asyncio.run(scenario())


def test_what_was_removed_unread_is_told(deploy: Callable[..., Any]) -> None:
    """Retention took records while the worker was down: log and, long after, ``doctor`` say so."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_TOPICS__PARTITIONS="1")
        worker = deployment.start()
        await send(deployment, pairs("a"))
        await rewarded(deployment, 10)
        await stop(worker)
        await send(deployment, pairs("b"))
        servers, topic = (
            deployment.settings.broker.servers,
            deployment.settings.topic_names.ground_truth,
        )
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            await admin.delete_records(
                {TopicPartition(topic, 0): RecordsToDelete(before_offset=14)}
            )
        finally:
            await admin.close()
        deployment.start()
        assert await rewarded(deployment, 16) == {*pairs("a"), "b4", "b5", "b6", "b7", "b8", "b9"}
        await until_logged(deployment, f"4 records of {topic}-0 were lost to retention")
        # The worker is past them, and still:
        examined = await asyncio.to_thread(run, deployment, "doctor", "--json")
        told = [one for one in orjson.loads(examined.stdout) if one["check"] == "losses"]
        assert [(one["where"], one["state"]) for one in told] == [(topic, "fault")]
        assert told[0]["detail"].startswith("4 records were lost"), told

    asyncio.run(scenario())


def test_inputs_made_anew_under_a_worker_end_it(deploy: Callable[..., Any]) -> None:
    """Within seconds, with the cure; and a start after that says the same."""

    async def scenario() -> None:
        deployment = await deploy()
        topics = deployment.settings.topic_names
        worker = deployment.start()
        await send(deployment, pairs("a"))
        await rewarded(deployment, 10)
        await make_anew(deployment, topics.predictions, topics.ground_truth)
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 1
        assert "made anew" in deployment.log()
        assert "leverframe restart-from" in deployment.log()
        again = deployment.start("again")
        assert await asyncio.to_thread(again.wait, PATIENCE_S) == 1
        assert "made anew" in deployment.log("again")

    asyncio.run(scenario())


def test_advisory_topics_made_anew_stop_nothing(deploy: Callable[..., Any]) -> None:
    """Acknowledgements advise only: the job warns and goes on."""

    async def scenario() -> None:
        deployment = await deploy()
        topics = deployment.settings.topic_names
        worker = deployment.start()
        await send(deployment, pairs("a"))
        await rewarded(deployment, 10)
        await stop(worker)
        await make_anew(deployment, topics.control_acks, topics.traffic)
        deployment.start()
        await send(deployment, pairs("b"))
        assert await rewarded(deployment, 20) == {*pairs("a"), *pairs("b")}
        await until_logged(deployment, f"{topics.traffic}-0 was made anew")

    asyncio.run(scenario())


def test_a_clock_ahead_closes_no_window_of_others(deploy: Callable[..., Any]) -> None:
    """One producer is 200 s ahead, windows are 60 s: everybody's labels are rewarded."""

    async def scenario() -> None:
        deployment = await deploy(
            **{"LEVERFRAME_TOPICS__PARTITIONS": "1", "LEVERFRAME_ROUTES__*__WINDOW_S": "60"}
        )
        deployment.start()
        settings = deployment.settings
        names = pairs("g")
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers)
        await producer.start()
        try:
            for name in names:
                said = Prediction(request_id=name, route="r", arm="a", prediction=1, propensity=1.0)
                await producer.send(settings.topic_names.predictions, encode(said), name.encode())
            await producer.flush()
            await send(deployment, ["x"], ahead_s=200)
            assert await rewarded(deployment, 1) == {"x"}
            # A sweep or two: what it closes is gone.
            await send(deployment, ["y"])
            await rewarded(deployment, 2)
            await asyncio.sleep(3 * settings.app.tick_s)
            for name in names:
                label = encode(GroundTruth(request_id=name, label=1))
                await producer.send(settings.topic_names.ground_truth, label, name.encode())
            await producer.flush()
        finally:
            await producer.stop()
        assert await rewarded(deployment, 12) == {"x", "y", *names}
        letters = await read_all(
            settings.broker.servers,
            settings.topic_names.dead_letters,
            settings.topics.route_partitions,
        )
        assert letters == []

    asyncio.run(scenario())
