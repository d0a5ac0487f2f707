"""What tests do to an application's topics from outside: pairs, stops, topics made anew."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from harness import Deployment
from patience import PATIENCE_S

from leverframe.agents.doctor.facts import topic_configs
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.restart import RESTART_KEY
from leverframe.streams.runtime.topic_admin import create_topics


async def send(
    deployment: Deployment, names: Iterable[str], *, ahead_s: float | None = None
) -> None:
    """Send both halves of pairs, one after the other; with a clock that is ahead if asked."""
    topics = deployment.settings.topic_names
    time_ms = None if ahead_s is None else round((time.time() + ahead_s) * 1000)
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    await producer.start()
    try:
        for name in names:
            said = Prediction(request_id=name, route="r", arm="a", prediction=1, propensity=1.0)
            label = GroundTruth(request_id=name, label=1)
            for topic, record in ((topics.predictions, said), (topics.ground_truth, label)):
                await producer.send(topic, encode(record), name.encode(), timestamp_ms=time_ms)
        await producer.flush()
    finally:
        await producer.stop()


def pairs(letter: str, count: int = 10) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


async def stop(worker: Any) -> None:
    worker.terminate()
    await asyncio.to_thread(worker.wait, PATIENCE_S)


async def rewards_of(deployment: Deployment) -> list[Reward]:
    """All rewards of an application, its marks left out."""
    topic = deployment.settings.topic_names.rewards
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.settings.broker.servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await consumer.start()
    tps = [TopicPartition(topic, p) for p in range(deployment.settings.topics.route_partitions)]
    consumer.assign(tps)
    await consumer.seek_to_beginning(*tps)
    ends, found = await consumer.end_offsets(tps), []
    while any([await consumer.position(tp) < ends[tp] for tp in tps]):
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found += [decode(Reward, one.value) for one in records if one.key != RESTART_KEY]
    await consumer.stop()
    return found


async def delete(deployment: Deployment, *topics: str) -> None:
    """Delete topics and wait until they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.broker.servers)
    await admin.start()
    try:
        await admin.delete_topics(list(topics))
        while set(topics) & set(await admin.list_topics()):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def configure(deployment: Deployment, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Give topics other settings, and wait until the broker goes by them: it answers before."""
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.broker.servers)
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, name, dict(configs))
                for name, configs in wanted.items()
            ]
        )
        while not _holds(await topic_configs(admin, wanted), wanted):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def _holds(found: Mapping[str, Mapping[str, str]], wanted: Mapping[str, Mapping[str, str]]) -> bool:
    return all(found[name].items() >= configs.items() for name, configs in wanted.items())


async def make_anew(deployment: Deployment, *topics: str) -> None:
    await delete(deployment, *topics)
    settings = deployment.settings
    await create_topics(settings.broker, settings.declared_topics(), 1)


def steer(deployment: Deployment, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command that waits for the job's answer, with patience for a worker that starts."""
    return run(deployment, *words, "--timeout", f"{PATIENCE_S - 10:.0f}", **more)


def run(deployment: Deployment, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line beside the workers, on the folder of the first."""
    environment = {
        **os.environ,
        **deployment.environment,
        "LEVERFRAME_APP__DATADIR": str(deployment.datadir("w")),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
