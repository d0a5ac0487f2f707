"""Rewards and control messages as others read them: CloudEvents headers, Avro, Protobuf."""

import asyncio
import base64
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
from leverframe.streams.copies.protobuf import proto_descriptor, proto_file
from leverframe.streams.sources.documents import Reading
from leverframe.streams.sources.formats.avro import avro_reading
from leverframe.streams.sources.formats.protobuf import protobuf_reading

pytestmark = pytest.mark.broker

ASKED = """
[topics]
format = "FORM"
cloudevents = true

[registry]
url = "URL"
"""


def _reading(form: str, kind: Any, text: str) -> Reading:
    """What a stranger reads a copy with, given what is registered."""
    if form == "avro":
        return avro_reading(text)
    assert text == proto_file(kind)
    return protobuf_reading(base64.b64encode(proto_descriptor(kind).SerializeToString()).decode())


def _place(record: Any, message: Any) -> tuple[int, bytes]:
    """Where a record lies and all that it says, whatever the order of its maps."""
    return record.partition, msgspec.json.encode(message, order="deterministic")


@pytest.mark.parametrize("form", ["avro", pytest.param("protobuf", marks=pytest.mark.drill)])
def test_rewards_and_control_are_copied_and_are_events(
    form: str, deploy: Callable[..., Any], unique_prefix: str, tmp_path: Path
) -> None:
    """Each record once more, with all that it says; the JSON has the headers of an event."""

    async def scenario(registry: RegistryServer) -> None:
        written = ASKED.replace("URL", registry.url).replace("FORM", form)
        asked = {"LEVERFRAME_TOPICS__FORMAT": form, "LEVERFRAME_REGISTRY__URL": registry.url}
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written, **asked)
        deployment.start()
        await send(deployment, pairs("e", 50))
        assert len(await wait_for_rewards(deployment, 50)) == 50, deployment.logs()
        await wait_for_count(deployment, 50)
        settings, topics = deployment.settings, deployment.settings.topic_names
        copies = topics.copies(form)
        assert [one.subject for one in registry.schemas] == [f"{copy}-value" for copy in copies]
        kinds: list[tuple[str, str, Any]] = [
            (topics.rewards, copies[0], Reward),
            (topics.control, copies[1], ControlMessage),
        ]
        for (topic, copy, kind), schema in zip(kinds, registry.schemas, strict=True):
            reading = _reading(form, kind, schema.text)
            servers = settings.broker.servers
            before = await read_all(servers, topic, 2)
            copied = await read_all(servers, copy, 2)
            own = await read_all(servers, topic, 2)
            said = {_place(record, decode(kind, record.value)) for record in own}
            told = set()
            for record in copied:
                assert int.from_bytes(record.value[:5], "big") == schema.schema_id
                datum = reading(record.value[5:])
                if kind is ControlMessage:
                    datum["cause"] = orjson.loads(datum["cause"])
                if form == "protobuf":  # which does not tell an empty list from none
                    datum = {name: value for name, value in datum.items() if value not in ({}, [])}
                told.add(_place(record, msgspec.convert(datum, kind)))
            # Several transactions write at once: a copy's order is its own. The job goes on.
            assert {_place(record, decode(kind, record.value)) for record in before} <= told <= said
            assert len(copied) >= len(before) >= 1
            for record in own:
                headers = dict(record.headers)
                assert headers["ce_specversion"] == b"1.0"
                assert headers["ce_subject"] == record.key

    with RegistryServer().running() as registry:
        asyncio.run(scenario(registry))
