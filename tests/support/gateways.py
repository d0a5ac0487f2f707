"""Starts real gateways beside a deployment, writes control messages, and asks over HTTP."""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer
from harness import Deployment
from patience import PATIENCE_S, until

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage

GATEWAY = ("-m", "leverframe.agents.cli.main", "gateway")


class Gateway:
    """A running gateway, and its address."""

    def __init__(self, deployment: Deployment, name: str = "gateway", **settings: str) -> None:
        self._deployment = deployment
        self._name = name
        more = {"LEVERFRAME_GATEWAY__PORT": "0", **settings}
        self.process: subprocess.Popen[bytes] = deployment.start(name, GATEWAY, **more)
        self.url = ""

    def wait(self) -> Self:
        """Wait until it answers."""

        def address() -> Any:
            assert self.process.poll() is None, self._deployment.logs()
            return re.search(r"answering on (\S+:\d+)", self._deployment.log(self._name))

        self.url = f"http://{until(address, self._deployment.logs)[1]}"
        return self

    def stop(self) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


async def publish(deployment: Deployment, *messages: ControlMessage) -> None:
    """Write control messages as the job does."""
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    topic = deployment.settings.topic_names.control
    async with producer:
        for message in messages:
            await producer.send_and_wait(topic, encode(message), key=message.route.encode())


async def post(session: Any, url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Post JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    given = {"content-type": "application/json", **headers}
    async with session.post(url, data=data, headers=given) as answer:
        text = await answer.read()
        return answer.status, orjson.loads(text) if text else None


async def arm_of(session: Any, url: str, route: str, unit: str) -> Any:
    """Ask for one evaluation."""
    path = f"{url}/ofrep/v1/evaluate/flags/{route}"
    return (await post(session, path, {"context": {"targetingKey": unit}}))[1]


@asynccontextmanager
async def events(session: Any, url: str, **headers: str) -> AsyncIterator[Any]:
    """Follow the event stream: gives a queue of what was told."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    patience = aiohttp.ClientTimeout(total=None)
    async with session.get(url, headers=headers, timeout=patience) as answer:
        assert answer.status == 200, await answer.text()
        reading = asyncio.create_task(_read(answer, told))
        try:
            yield told
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(answer: Any, told: asyncio.Queue[Any]) -> None:
    async for line in answer.content:
        if line.startswith(b"data: "):
            told.put_nowait(orjson.loads(line[6:]))
    told.put_nowait(None)
