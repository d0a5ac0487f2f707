"""A gateway whose broker stands still, goes and comes: it says so, and loses nothing it told."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asking import control_message
from gateways import Gateway, arm_of, post, publish
from harness import Deployment, read_all
from patience import PATIENCE_S, eventually

from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import RunningBroker, start_broker
from leverframe.devbroker.ports import free_ports

pytestmark = [pytest.mark.broker, pytest.mark.drill]

SETTINGS = {
    "LEVERFRAME_GATEWAY__WRITE_TIMEOUT_S": "2",
    "LEVERFRAME_GATEWAY__MAX_WAITING_BYTES": str(1 << 20),
    "LEVERFRAME_GATEWAY__STOP_TIMEOUT_S": "60",
}
BIG = 200


class Ours:
    """A broker of this test's own, to be hurt."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self.running = self._start()

    def _start(self) -> RunningBroker:
        return start_broker(
            data_dir=self._folder, port=self._port, cache=cache_root(), report=print, detached=False
        )

    def stand_still(self) -> None:
        os.kill(self.running.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.running.pid, signal.SIGCONT)

    def come_back(self) -> None:
        self.running.stop()
        self.running = self._start()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Ours]:
    broker = Ours(tmp_path / "broker")
    try:
        yield broker
    finally:
        broker.go_on()
        broker.running.stop()


@pytest.fixture
def made(ours: Ours, unique_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    folder = tmp_path / "deployment"
    folder.mkdir()
    deployment = asyncio.run(Deployment.create(ours.running.bootstrap, unique_prefix, folder))
    yield deployment
    deployment.stop_all()


def labels(caller: str, count: int = 1) -> list[dict[str, Any]]:
    return [{"request_id": f"{caller}-{n}", "label": "x" * 1000} for n in range(count)]


async def taken(session: Any, caller: str) -> bool:
    return (await post(session, "/v1/labels", labels(caller)))[0] == 202


async def written(deployment: Deployment) -> set[str]:
    settings = deployment.settings
    topic, partitions = settings.topic_names.ground_truth, settings.topics.partitions
    records = await read_all(settings.broker.servers, topic, partitions)
    return {record.key.decode() for record in records}


def test_a_broker_that_stands_still_and_one_that_comes_back(ours: Ours, made: Deployment) -> None:
    """503 when it does not confirm, 429 when too much waits, safe weights, and then all is well."""

    async def scenario() -> None:
        halves = control_message("r", {"a": 0.0, "b": 1.0}, ttl_ms=2000)
        await publish(made, halves)
        gateway = Gateway(made, **SETTINGS).wait()
        async with aiohttp.ClientSession(gateway.url) as session:
            assert await taken(session, "before")
            ours.stand_still()
            answers = await asyncio.gather(
                *(post(session, "/v1/labels", labels(f"still-{n}", BIG)) for n in range(8))
            )
            assert {status for status, _ in answers} == {429, 503}
            assert all(told["cure"].startswith("send") for _, told in answers)
            found = await arm_of(session, gateway.url, "r", "u")
            assert (found["value"], found["metadata"].get("stale")) in {("b", None), ("a", True)}
            ours.go_on()
            await eventually(lambda: taken(session, "after"), made.logs)
            told = {"before-0", "after-0"}
            ours.come_back()
            await eventually(lambda: taken(session, "back"), made.logs)
            told.add("back-0")
            assert told <= await written(made)
        assert await asyncio.to_thread(gateway.stop) == 0

    asyncio.run(scenario())


def test_what_is_under_way_is_finished(ours: Ours, made: Deployment) -> None:
    """SIGTERM while Kafka has not confirmed: the answer still comes, and is true."""

    async def scenario() -> None:
        more = {**SETTINGS, "LEVERFRAME_GATEWAY__WRITE_TIMEOUT_S": "60"}
        gateway = Gateway(made, **more).wait()
        async with aiohttp.ClientSession(gateway.url) as session:
            assert await taken(session, "before")
            ours.stand_still()
            waiting = asyncio.create_task(post(session, "/v1/labels", labels("late")))
            assert not (await asyncio.wait([waiting], timeout=0.5))[0]
            gateway.process.send_signal(signal.SIGTERM)
            assert not (await asyncio.wait([waiting], timeout=0.5))[0]
            ours.go_on()
            assert await waiting == (202, {"accepted": 1})
        assert await asyncio.to_thread(gateway.process.wait, PATIENCE_S) == 0
        assert "late-0" in await written(made)

    asyncio.run(scenario())
