"""What a broker refuses for good ends the worker, in one line with the cure."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from guarded import RIGHTS, guarded_listener
from harness import Deployment, Script, produce, wait_for_rewards
from patience import PATIENCE_S, eventually

from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.ports import free_ports

pytestmark = [pytest.mark.broker, pytest.mark.timeout(4 * PATIENCE_S)]

# Kafka's numbers.
_TOPIC, _GROUP, _CLUSTER, _TRANSACTIONAL = 2, 3, 4, 5
_LITERAL, _PREFIXED = 3, 4
_ALL, _READ, _ALLOW = 2, 3, 3
_WORKER = "User:worker"


class Guarded:
    """A broker with rights, and with the session limits that Kafka has by default."""

    def __init__(self, plain: str, guarded: str) -> None:
        self.plain = plain
        self._servers = guarded
        self.as_worker = {
            "LEVERFRAME_BROKER": guarded,
            "LEVERFRAME_BROKER__SECURITY": "sasl_plaintext",
            "LEVERFRAME_BROKER__USERNAME": "worker",
            "LEVERFRAME_BROKER__PASSWORD": "right-one",
        }

    async def _change(self, change: Callable[[Any], Awaitable[Any]]) -> None:
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.plain)
        await admin.start()
        try:
            await change(admin)
        finally:
            await admin.close()

    async def allow(self, kind: int, name: str, pattern: int = _PREFIXED) -> None:
        request = CreateAclsRequest(kind, name, pattern, _WORKER, "*", _ALL, _ALLOW)
        await self._change(lambda admin: admin._send_request(request))

    async def forbid(self, kind: int, name: str) -> None:
        request = DeleteAclsRequest(kind, name, _PREFIXED, _WORKER, "*", _ALL, _ALLOW)
        await self._change(lambda admin: admin._send_request(request))

    async def allow_all_but_the_group(self, deployment: Deployment) -> None:
        await self.allow(_TRANSACTIONAL, deployment.settings.topics.prefix)
        await self.allow(_CLUSTER, "kafka-cluster", _LITERAL)
        await self.allow_topics(deployment)

    async def allow_topics(self, deployment: Deployment) -> None:
        """Allow each by itself; wait until that is in force, and so all that was allowed before."""
        for topic in (names := [each.name for each in deployment.settings.declared_topics()]):
            await self.allow(_TOPIC, topic)
        login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
        login |= {"sasl_plain_username": "worker", "sasl_plain_password": "right-one"}
        async with AIOKafkaConsumer(bootstrap_servers=self._servers, **login) as worker:

            async def are_seen() -> bool:
                return set(names) <= await worker.topics()

            await eventually(are_seen, "the worker's rights are in force")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    (port,) = free_ports(1)
    running = start_broker(
        data_dir=tmp_path_factory.mktemp("guarded") / "broker",
        port=None,
        cache=cache_root(),
        report=lambda _: None,
        detached=False,
        listeners=[guarded_listener(port, {"worker": "right-one"})],
        extra_properties=RIGHTS,
    )
    try:
        yield Guarded(running.bootstrap, f"127.0.0.1:{port}")
    finally:
        running.stop()


async def ended(worker: subprocess.Popen[bytes], log: Callable[[], str]) -> str:
    """Wait for the end of a worker that a person must mend; return its last line."""
    began_s = time.monotonic()
    try:
        code = await asyncio.to_thread(worker.wait, PATIENCE_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the worker lives on after {PATIENCE_S:g} s\n{log()[-3000:]}")
    told = log()
    assert code == 2, told[-3000:]
    assert "Traceback" not in told, told[-3000:]
    (critical,) = [line for line in told.splitlines() if " CRITICAL " in line]
    print(f"{time.monotonic() - began_s:.1f} s: {critical}")
    return critical


def test_refused_session_timeout_names_the_setting(
    guarded: Guarded, unique_prefix: str, tmp_path: Path
) -> None:
    """1 s, where the broker takes 6 s and more: the setting, both of the broker's, exit code 2."""

    async def drill() -> None:
        deployment = await Deployment.create(guarded.plain, unique_prefix, tmp_path)
        try:
            worker = deployment.start(LEVERFRAME_APP__SESSION_TIMEOUT_S="1")
            told = await ended(worker, deployment.log)
            assert "[app] session_timeout_s = 1" in told
            assert "group.min.session.timeout.ms" in told
            assert "group.max.session.timeout.ms" in told
        finally:
            deployment.stop_all()

    asyncio.run(drill())


def test_group_that_may_not_be_read_ends_the_worker(
    guarded: Guarded, unique_prefix: str, tmp_path: Path
) -> None:
    """No right to the group at the start: user, group and right in one line, exit code 2."""

    async def drill() -> None:
        deployment = await Deployment.create(guarded.plain, unique_prefix, tmp_path)
        await guarded.allow_all_but_the_group(deployment)
        try:
            worker = deployment.start(**guarded.as_worker)
            told = await ended(worker, deployment.log)
            assert f"user 'worker' may not read the group '{unique_prefix}leverframe'" in told
            assert "allow Read on it" in told
            assert "right-one" not in deployment.log()
        finally:
            deployment.stop_all()

    asyncio.run(drill())


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (_GROUP, "leverframe", "may not read the group"),
        (_TOPIC, "ground-truth", "ground-truth: allow Read"),
    ],
    ids=["group", "topic"],
)
def test_right_that_is_taken_away_ends_a_running_worker(
    guarded: Guarded, unique_prefix: str, tmp_path: Path, kind: int, name: str, says: str
) -> None:
    """A right is gone in the middle of the work: the worker ends within its session, exit 2."""

    async def drill() -> None:
        deployment = await Deployment.create(guarded.plain, unique_prefix, tmp_path)
        await guarded.allow(_TRANSACTIONAL, unique_prefix)
        await guarded.allow(_CLUSTER, "kafka-cluster", _LITERAL)
        await guarded.allow(_GROUP, f"{unique_prefix}leverframe")
        await guarded.allow_topics(deployment)
        try:
            worker = deployment.start(**guarded.as_worker)
            script = Script(pairs=50, seed=71)
            await produce(deployment, script, 1000)
            assert len(await wait_for_rewards(deployment, 50)) == 50, deployment.log()[-3000:]
            await guarded.forbid(kind, f"{unique_prefix}{name}")
            told = await ended(worker, deployment.log)
            assert f"{unique_prefix}{name}" in told
            assert says in told
        finally:
            deployment.stop_all()

    asyncio.run(drill())
