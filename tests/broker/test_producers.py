"""The producers that docs/producers.md shows: what one client sends meets what another sends."""

import asyncio
import inspect
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT, blocks_of
from harness import read_all, wait_for_rewards
from patience import PATIENCE_S

from leverframe.devbroker.assets import cache_root, java_executable, kafka_classpath
from leverframe.devbroker.jars import PINNED_JARS, parse_jars
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker

BLOCKS = list(blocks_of(ROOT / "docs" / "producers.md"))
PAIRS = 40
# The broker does without them.
TOOLS = """
org.apache.kafka:kafka-tools:4.3.1 698668
  62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c
"""
Send = Callable[[str, str, list[dict[str, Any]]], Any]


def shown(word: str) -> Send:
    """Return the ``send`` of the Python block that holds a word."""
    (block,) = [b for b in BLOCKS if b.language == "python" and word in b.text]
    namespace: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), namespace)  # noqa: S102 - our own page
    send: Send = namespace["send"]
    return send


def java(folder: Path) -> Send:
    """Kafka's console producer with the page's properties."""
    (properties,) = [block.text for block in BLOCKS if block.language == "properties"]
    (by_hand,) = [block.text for block in BLOCKS if "kafka-console-producer.sh" in block.text]
    config = folder / "producer.properties"
    config.write_text(properties, encoding="utf-8")
    options = ["--command-config", str(config)]
    for option in ("parse.key=true", "key.separator=|"):
        options += ["--reader-property", option]
    assert "--command-config producer.properties --reader-property parse.key=true" in by_hand

    jars = kafka_classpath(cache_root(), print, jars=[*PINNED_JARS, *parse_jars(TOOLS)])
    classpath = os.pathsep.join(map(str, jars))

    def send(servers: str, topic: str, records: list[dict[str, Any]]) -> None:
        main = [str(java_executable()), "-cp", classpath, "org.apache.kafka.tools.ConsoleProducer"]
        lines = "".join(f"{record['request_id']}|{json.dumps(record)}\n" for record in records)
        done = subprocess.run(
            [*main, "--bootstrap-server", servers, "--topic", topic, *options],
            input=lines,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return send


async def sent(send: Send, servers: str, topic: str, records: list[dict[str, Any]]) -> None:
    if inspect.iscoroutinefunction(send):
        await send(servers, topic, records)
    else:
        await asyncio.to_thread(send, servers, topic, records)


def test_halves_of_a_pair_meet_whoever_sends_them(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    """Each client's predictions with the next one's labels: every record in its partition."""
    clients = {
        "aiokafka": shown("aiokafka"),
        "confluent": shown("confluent_kafka"),
        "kafka-python": shown("from kafka import"),
        "java": java(tmp_path),
    }
    names = list(clients)

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        topics, servers = deployment.settings.topic_names, deployment.settings.broker.servers
        for name, label_name in zip(names, names[1:] + names[:1], strict=True):
            ids = [f"{name}-\u00e9-{i}" for i in range(PAIRS)]
            predictions = [
                {"request_id": one, "route": "r", "arm": "a", "prediction": 1} for one in ids
            ]
            labels = [{"request_id": one, "label": 1} for one in ids]
            await sent(clients[name], servers, topics.predictions, predictions)
            await sent(clients[label_name], servers, topics.ground_truth, labels)
        count = deployment.settings.topics.partitions
        for topic in (topics.predictions, topics.ground_truth):
            records = await read_all(servers, topic, count)
            assert len(records) == PAIRS * len(names)
            astray = [r.key for r in records if r.partition != partition_of(r.key, count)]
            assert astray == []
        rewards = await wait_for_rewards(deployment, PAIRS * len(names))
        assert {reward.reward for reward in rewards} == {1.0}
        assert len({reward.request_id for reward in rewards}) == PAIRS * len(names)

    asyncio.run(scenario())
