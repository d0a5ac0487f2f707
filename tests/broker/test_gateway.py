"""A gateway on a real broker: decides as the subscriber does, pushes changes, takes records."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from asking import control_message
from gateways import Gateway, arm_of, events, post, publish
from harness import Deployment, read_all
from patience import eventually

from drills.certificates import Authority, has_openssl
from leverframe.agents.gateway.feedback import Refused, Written
from leverframe.agents.gateway.writer import Writer
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlAck
from leverframe.serving.assigner import Assigner
from leverframe.streams.runtime.kafka import client_options, partition_of

pytestmark = pytest.mark.broker

UNITS = [f"user-{number}" for number in range(200)]
TOKEN = "0123456789abcdef"  # noqa: S105 - of this test
HALVES = {"a": 0.5, "b": 0.5}


def test_decides_and_tells_of_a_rollback(deploy: Callable[..., Any]) -> None:
    """Arms as the assigner's; a rollback reaches the stream and every answer; SIGTERM ends it."""

    async def scenario() -> None:
        deployment: Deployment = await deploy()
        first = control_message("checkout", HALVES)
        await publish(deployment, first)
        gateway = Gateway(deployment).wait()
        stream = gateway.url + "/ofrep/v1/events"
        assigner = Assigner(HALVES, first.salt)
        async with aiohttp.ClientSession() as session:
            for unit in UNITS:
                found = await arm_of(session, gateway.url, "checkout", unit)
                assert found["value"] == assigner.assign(unit)[0]
            async with events(session, stream) as told:
                known = await told.get()
                back = control_message("checkout", {"a": 1.0}, kind="rollback", epoch=2, seq=2)
                await publish(deployment, back)
                event = await told.get()
                assert event["type"] == "refetchEvaluation"
                assert event["etag"] != known["etag"]
                arms = {(await arm_of(session, gateway.url, "checkout", u))["value"] for u in UNITS}
                assert arms == {"a"}
                assert await eventually(lambda: acknowledged(deployment), deployment.logs) == 2
                assert await asyncio.to_thread(gateway.stop) == 0
                assert await told.get() is None
        assert "Traceback" not in deployment.logs()

    asyncio.run(scenario())


async def acknowledged(deployment: Deployment) -> int:
    settings = deployment.settings
    topic, partitions = settings.topic_names.control_acks, settings.topics.route_partitions
    acks = await read_all(settings.broker.servers, topic, partitions)
    return max((decode(ControlAck, record.value).epoch for record in acks), default=0)


def test_takes_predictions_and_labels(deploy: Callable[..., Any]) -> None:
    """Byte by byte, keyed by request, in the partition that other producers choose; all or none."""

    async def scenario() -> None:
        deployment: Deployment = await deploy()
        gateway = Gateway(deployment).wait()
        labels = [b'{"request_id":"q%d","label":%d,"later":[]}' % (n, n % 2) for n in range(50)]
        prediction = {"request_id": "q1", "route": "r", "arm": "a", "prediction": 1}
        async with aiohttp.ClientSession(gateway.url) as session:
            taken = await post(session, "/v1/labels", b"[" + b",".join(labels[:25]) + b"]")
            assert taken == (202, {"accepted": 25})
            kind = {"content-type": "application/x-ndjson"}
            assert (await post(session, "/v1/labels", b"\n".join(labels[25:]), **kind))[0] == 202
            of = {"traceparent": f"00-{7:032x}-{8:016x}-01"}
            assert (await post(session, "/v1/predictions", prediction, **of))[0] == 202
            status, told = await post(session, "/v1/labels", b"[%s,{}]" % labels[0])
            assert (status, told["faults"][0]["record"]) == (400, 1)
        settings, topics = deployment.settings, deployment.settings.topic_names
        servers, count = settings.broker.servers, settings.topics.partitions
        found = await read_all(servers, topics.ground_truth, count)
        assert sorted(record.value for record in found) == sorted(labels)
        assert all(partition_of(record.key, count) == record.partition for record in found)
        assert {record.key.decode() for record in found} == {f"q{n}" for n in range(50)}
        (one,) = await read_all(servers, topics.predictions, count)
        assert (one.key, orjson.loads(one.value)) == (b"q1", prediction)
        assert dict(one.headers) == {name: value.encode() for name, value in of.items()}

    asyncio.run(scenario())


@pytest.mark.drill
@pytest.mark.skipif(not has_openssl(), reason="certificates need the openssl command")
def test_speaks_tls_and_asks_for_the_token(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """Beyond loopback: nobody without the token; the certificate is the one that was given."""
    authority = Authority(tmp_path)
    pem = str(authority.keystore("gateway"))
    settings = {
        "LEVERFRAME_GATEWAY__BIND": "0.0.0.0",  # noqa: S104 - with a token
        "LEVERFRAME_GATEWAY__TOKEN": TOKEN,
        "LEVERFRAME_GATEWAY__CERT_FILE": pem,
        "LEVERFRAME_GATEWAY__KEY_FILE": pem,
    }

    async def scenario() -> None:
        deployment: Deployment = await deploy()
        await publish(deployment, control_message("r", {"a": 1.0}))
        gateway = Gateway(deployment, **settings).wait()
        url = gateway.url.replace("http://0.0.0.0", "https://127.0.0.1")
        trusting = ssl.create_default_context(cafile=authority.certificate)
        body, flag = {"context": {"targetingKey": "u"}}, f"{url}/ofrep/v1/evaluate/flags/r"
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as session:
            assert (await post(session, flag, body))[0] == 401
            shown = {"authorization": f"Bearer {TOKEN}"}
            assert (await post(session, flag, body, **shown))[1]["value"] == "a"
            told = await post(session, f"{url}/ofrep/v1/evaluate/flags", body, **shown)
            stream = told[1]["eventStreams"][0]["endpoint"]["requestUri"]
            async with events(session, url + stream) as notices:
                assert (await notices.get())["type"] == "refetchEvaluation"
                assert await asyncio.to_thread(gateway.stop) == 0
        assert TOKEN not in deployment.logs()

    asyncio.run(scenario())


def test_a_producer_that_has_ended_is_replaced(deploy: Callable[..., Any]) -> None:
    """Whoever meets it is told to send again; a moment later it is written."""

    async def scenario() -> None:
        deployment: Deployment = await deploy()
        topic = deployment.settings.topic_names.ground_truth
        writer = Writer(client_options(deployment.settings.broker), 1 << 20, 5.0)
        await writer.start()

        async def status() -> int:
            try:
                await writer.write(topic, [Written(b"a", b'{"request_id":"a","label":1}')])
            except Refused as refused:
                return refused.answer.status
            return 202

        async def is_written() -> bool:
            return await status() == 202

        assert await is_written()
        await writer._producer.stop()
        assert await status() == 503
        await eventually(is_written, deployment.logs)
        assert writer.waiting_bytes == 0
        await writer.stop()

    asyncio.run(scenario())
