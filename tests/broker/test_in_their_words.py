"""Rewards and control messages as others read them: CloudEvents headers, Avro with its schema."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from estate import pairs, send
from estates import deploy_estate
from harness import read_all, wait_for_count, wait_for_rewards
from registry_server import RegistryServer

from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.streams.sources.formats.avro import avro_reading

pytestmark = pytest.mark.broker

ASKED = """
[topics]
format = "avro"
cloudevents = true

[registry]
url = "URL"
"""


def test_rewards_and_control_are_copied_in_avro_and_are_events(
    deploy: Callable[..., Any], unique_prefix: str, tmp_path: Path
) -> None:
    """Each record once more, with all that it says; the JSON has the headers of an event."""

    async def scenario(registry: RegistryServer) -> None:
        written = ASKED.replace("URL", registry.url)
        asked = {"LEVERFRAME_TOPICS__FORMAT": "avro", "LEVERFRAME_REGISTRY__URL": registry.url}
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written, **asked)
        deployment.start()
        await send(deployment, pairs("e", 50))
        assert len(await wait_for_rewards(deployment, 50, 40)) == 50, deployment.logs()
        await wait_for_count(deployment, 50)
        settings, topics = deployment.settings, deployment.settings.topic_names
        readings = {
            one.schema_id: avro_reading(one.text) for one in registry.schemas
        }  # fmt: skip
        assert {one.subject for one in registry.schemas} == {
            f"{topics.rewards_avro}-value",
            f"{topics.control_avro}-value",
        }
        kinds: list[tuple[str, str, Any]] = [
            (topics.rewards, topics.rewards_avro, Reward),
            (topics.control, topics.control_avro, ControlMessage),
        ]
        for topic, copy, kind in kinds:
            own = await read_all(settings.broker.servers, topic, 2)
            copies = await read_all(settings.broker.servers, copy, 2)
            told = {
                (one.partition, at): one
                for partition in (0, 1)
                for at, one in enumerate(r for r in copies if r.partition == partition)
            }
            for partition in (0, 1):
                records = [record for record in own if record.partition == partition]
                for at, record in enumerate(records[: len(told)]):
                    copied = told[partition, at]
                    number = int.from_bytes(copied.value[1:5], "big")
                    datum = readings[number](copied.value[5:])
                    if kind is ControlMessage:
                        datum["cause"] = orjson.loads(datum["cause"])
                    assert msgspec.convert(datum, kind) == decode(kind, record.value)
                    headers = dict(record.headers)
                    assert headers["ce_specversion"] == b"1.0"
                    assert headers["ce_subject"] == record.key
            assert len(own) >= 1

    with RegistryServer().running() as registry:
        asyncio.run(scenario(registry))
