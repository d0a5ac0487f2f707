"""A job that stands still says so and ends: topics that change, a broker that is gone, SIGTERM."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from harness import Deployment
from patience import PATIENCE_S

from leverframe.agents.operator.commands import ask
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.ports import free_ports
from leverframe.serving.subscriber import Subscriber

pytestmark = pytest.mark.broker

_NOTICED_S = 10.0
# A process that hears of it may have to end in order, on a loaded machine.
_SLACK_S = 5.0


async def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        await asyncio.sleep(0.1)
    return value


async def is_open(deployment: Deployment, name: str = "w", ledgers: int = 6) -> None:
    """Wait until a worker has opened so many ledgers."""
    count = lambda: deployment.log(name).count(": open,") >= ledgers  # noqa: E731
    await until(count, f"{ledgers} ledgers are open")


async def change(deployment: Deployment, what: Callable[[Any], Any]) -> None:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.broker.servers)
    await admin.start()
    try:
        await what(admin)
    finally:
        await admin.close()


async def wait_for_end(worker: subprocess.Popen[bytes], within_s: float, log: Any) -> int:
    try:
        return await asyncio.to_thread(worker.wait, within_s)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the worker is still there after {within_s:g} s\n{log()[-3000:]}")


def readiness(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=3) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["why"]
    except OSError as error:
        return 0, repr(error)


@pytest.mark.parametrize("topic", ["predictions", "rewards"])
def test_worker_ends_where_partitions_were_added(deploy: Callable[..., Any], topic: str) -> None:
    """Keys lie elsewhere now: within 10 s, exit code 2, with what topic check says."""

    async def drill() -> None:
        deployment = await deploy()
        worker = deployment.start()
        await is_open(deployment)
        full = f"{deployment.settings.topics.prefix}{topic}"
        await change(deployment, lambda a: a.create_partitions({full: NewPartitions(8)}))
        assert await wait_for_end(worker, _NOTICED_S + _SLACK_S, deployment.log) == 2
        told = deployment.log()
        assert f"{full}: wrong; has 8 partitions, the settings say" in told
        assert "Traceback" not in told
        again = deployment.start()
        assert await wait_for_end(again, 30, deployment.log) == 2

    asyncio.run(drill())


@pytest.mark.parametrize(
    ("topic", "code", "says"),
    [
        ("control", 2, "control: missing; create it: leverframe topics create"),
        ("ground-truth", 1, "ground-truth is gone: nothing can be counted"),
    ],
    ids=["an output", "an input"],
)
def test_worker_ends_where_a_topic_is_gone(
    deploy: Callable[..., Any], topic: str, code: int, says: str
) -> None:
    """Nobody reads or hears it any more: it ends soon, with the reason and the cure."""

    async def drill() -> None:
        deployment = await deploy()
        worker = deployment.start()
        await is_open(deployment)
        gone = f"{deployment.settings.topics.prefix}{topic}"
        await change(deployment, lambda admin: admin.delete_topics([gone]))
        assert await wait_for_end(worker, _NOTICED_S + 2 * _SLACK_S, deployment.log) == code
        assert says in deployment.log()

    asyncio.run(drill())


@pytest.mark.parametrize("away_s", [0.0, 4.0], ids=["at once", "after 4 s"])
def test_subscriber_follows_a_control_topic_that_was_made_anew(
    deploy: Callable[..., Any], caplog: pytest.LogCaptureFixture, away_s: float
) -> None:
    """Heard again within 10 s, never without weights, one line; the worker writes on."""
    caplog.set_level(logging.WARNING, "leverframe.serving")

    async def drill() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__TTL_S="3")
        worker = deployment.start()
        settings = deployment.settings
        control = settings.topic_names.control
        order: Any = {"params": None, "actor": "test", "timeout_s": 30.0}
        for arm in ("a", "b"):
            await ask(settings, "r", "register_arm", arm=arm, **order)
        async with Subscriber(settings.broker.servers, control=control) as routing:
            before = routing.in_force("r")
            assert before is not None
            await change(deployment, lambda admin: admin.delete_topics([control]))
            await asyncio.sleep(away_s)
            made = NewTopic(control, settings.topics.route_partitions, 1)

            async def make(admin: Any) -> None:
                while (await admin.create_topics([made])).topic_errors[0][1]:
                    await asyncio.sleep(0.1)

            await change(deployment, make)
            made_s = time.monotonic()
            seen = routing.in_force("r")
            assert seen is not None

            def heard() -> bool:
                state = routing.in_force("r")
                assert state is not None
                assert state.message.weights == before.message.weights
                return state.message.seq > seen.message.seq and not state.is_fallback

            await until(heard, "the new topic is followed", _NOTICED_S + _SLACK_S)
            print(f"heard {time.monotonic() - made_s:.1f} s after the topic was there again")
            assert routing.is_healthy
            await ask(settings, "r", "rollback", arm="b", **order)
            await until(lambda: routing.in_force("r").message.weights["b"] == 0.0, "a rollback")  # type: ignore[union-attr]
            assert routing.reread == 1
            assert routing.refused == 0
        assert worker.poll() is None, deployment.log()[-3000:]
        told = [r for r in caplog.records if getattr(r, "event", "") == "control_made_anew"]
        assert len(told) == 1

    asyncio.run(drill())


class Lazy(RangePartitionAssignor):
    """Shares nothing out; bears the name of what workers use."""

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        del cluster
        return {member: ConsumerProtocolMemberAssignment(0, [], b"") for member in members}


def test_partitions_without_a_reader_are_told(deploy: Callable[..., Any]) -> None:
    """A stranger leads the group and gives nobody anything: not ready, and doctor names them."""

    async def drill() -> None:
        (port,) = free_ports(1)
        deployment = await deploy(
            LEVERFRAME_TOPICS__PARTITIONS="1", LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1"
        )
        topics = deployment.settings.topic_names
        stranger = AIOKafkaConsumer(
            topics.commands,
            bootstrap_servers=deployment.settings.broker.servers,
            group_id=f"{topics.prefix}leverframe",
            partition_assignment_strategy=[Lazy],
            session_timeout_ms=6000,
        )
        await stranger.start()
        try:
            worker = deployment.start(LEVERFRAME_APP__WEB_PORT=str(port))
            unread = f"no member reads partition 0 of {topics.commands}, partition 0 of "
            await until(lambda: unread in readiness(port)[1], "it says what nobody reads")
            assert readiness(port)[0] == 503
            found = await asyncio.to_thread(doctor, deployment)
            assert any(unread in each["detail"] for each in found if each["state"] == "fault")
        finally:
            await stranger.stop()
        await until(lambda: readiness(port)[0] == 200, "ready, alone")
        assert worker.poll() is None

    asyncio.run(drill())


def doctor(deployment: Deployment) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "leverframe.agents.cli.main", "doctor", "--json"]
    done = subprocess.run(
        command,
        env={**os.environ, **deployment.environment},
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def test_spare_worker_is_ready(deploy: Callable[..., Any]) -> None:
    """Who was given nothing because others read everything has nothing to hide."""

    async def drill() -> None:
        ports = free_ports(2)
        deployment = await deploy(
            LEVERFRAME_TOPICS__PARTITIONS="1", LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1"
        )
        for port in ports:
            deployment.start(f"w{port}", LEVERFRAME_APP__WEB_PORT=str(port))
        for port in ports:
            await until(lambda port=port: readiness(port)[0] == 200, "ready")  # type: ignore[misc]
        # Long enough for a member without partitions to be found out.
        await asyncio.sleep(8)
        assert [readiness(port)[0] for port in ports] == [200, 200]

    asyncio.run(drill())


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.drill), 2])
def test_sigterm_ends_a_worker_whose_broker_is_gone(tmp_path: Path, processes: int) -> None:
    """Not ready once the session has passed; then SIGTERM, and within 20 s it has left."""

    async def drill() -> None:
        broker = start_broker(
            data_dir=tmp_path / "broker",
            port=None,
            cache=cache_root(),
            report=print,
            detached=False,
        )
        deployment = None
        try:
            (port,) = free_ports(1)
            deployment = await Deployment.create(broker.bootstrap, "gone-", tmp_path)
            worker = deployment.start(
                LEVERFRAME_APP__WEB_PORT=str(port), LEVERFRAME_APP__PROCESSES=str(processes)
            )
            await is_open(deployment)
            await until(lambda: readiness(port)[0] == 200, "ready")
            os.kill(broker.pid, signal.SIGKILL)
            gone_s = time.monotonic()
            status, why = await until(
                lambda: (found := readiness(port))[0] == 503 and found, "not ready", 20
            )
            print(f"not ready after {time.monotonic() - gone_s:.1f} s: {status} {why}")
            await asyncio.sleep(1)
            worker.send_signal(signal.SIGTERM)
            asked_s = time.monotonic()
            await wait_for_end(worker, 20, deployment.log)
            print(f"left after {time.monotonic() - asked_s:.1f} s with {worker.returncode}")
            told = deployment.log()
            assert "Traceback" not in told.partition("worker leaves")[2]
        finally:
            if deployment is not None:
                deployment.stop_all()
            broker.stop()

    asyncio.run(drill())
