"""An estate that was there first: topics of others, and a deployment that reads them."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness import Deployment, read_all
from patience import eventually

from leverframe.agents.operator.preflight import existing_topics
from leverframe.agents.settings import Settings, load_settings


async def deploy_estate(
    deploy: Callable[..., Any], prefix: str, folder: Path, written: str, **more: str
) -> Deployment:
    """Deploy with sources, in which ``@`` stands before the name of each topic."""
    config = folder / "leverframe.toml"
    config.write_text(written.replace('topic = "@', f'topic = "{prefix}'))
    deployment: Deployment = await deploy(LEVERFRAME_CONFIG=str(config), **more)
    deployment.settings = load_settings(config, deployment.environment)
    await _there(deployment.settings, [one.name for one in deployment.settings.declared_topics()])
    return deployment


async def make_topics(servers: str, topics: Iterable[str], partitions: int = 2) -> None:
    names = [*topics]
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    finally:
        await admin.close()
    await _there(load_settings(None, {"LEVERFRAME_BROKER": servers}), names)


async def _there(settings: Settings, names: Iterable[str]) -> None:
    """Wait until a broker with much to do has told itself of its topics."""

    async def are_there() -> bool:
        return set(names) <= (await existing_topics(settings)).keys()

    await eventually(are_there, "the topics that were created")


async def put(
    servers: str,
    records: Iterable[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]],
) -> list[Any]:
    """Send records: topic, key, value, headers; return where each lies."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=2_000_000)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=key, headers=headers)
            for topic, key, value, headers in records
        ]
        return await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def letters_of(deployment: Deployment) -> list[Any]:
    """Read all dead letters."""
    settings = deployment.settings
    return await read_all(
        settings.broker.servers,
        settings.topic_names.dead_letters,
        settings.topics.route_partitions,
    )


def told(letter: Any) -> dict[str, str]:
    """What a dead letter says of itself."""
    return {
        name.removeprefix("leverframe."): value.decode()
        for name, value in letter.headers
        if name.startswith("leverframe.")
    }
