"""``leverframe doctor`` against a real broker: healthy, and broken in the ways that it names."""

import asyncio
import binascii
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness import Deployment, Script, produce, reader, verify
from patience import PATIENCE_S

from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth

pytestmark = pytest.mark.broker


def doctor(
    environment: dict[str, str], *options: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LEVERFRAME")}
    return subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", "doctor", *options],
        env={**mine, "LEVERFRAME_APP__DATADIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


async def examined(deployment: Deployment, name: str = "w") -> tuple[int, list[dict[str, str]]]:
    done = await asyncio.to_thread(
        doctor, deployment.environment, "--json", folder=deployment.datadir(name)
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def faults(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    return [finding for finding in findings if finding["state"] == "fault"]


async def send_labels(deployment: Deployment, count: int, choose: Callable[[bytes], int]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    await producer.start()
    for i in range(count):
        key = f"label-{i}".encode()
        value = encode(GroundTruth(request_id=key.decode(), label=1))
        topic = deployment.settings.topic_names.ground_truth
        await producer.send(topic, value, key=key, partition=choose(key))
    await producer.stop()


async def ends(deployment: Deployment) -> dict[Any, int]:
    found: dict[Any, int] = {}
    servers = deployment.settings.broker.servers
    for topic in deployment.settings.declared_topics():
        async with reader(servers, topic.name, topic.partitions) as consumer:
            found |= await consumer.end_offsets(list(consumer.assignment()))
    return found


def test_healthy_application_has_no_fault(deploy: Callable[..., Any]) -> None:
    """A worker that runs, pairs that meet: exit code 0, every check answers, nothing is written."""

    async def scenario() -> None:
        deployment = await deploy(**{"LEVERFRAME_ROUTES__*__TTL_S": "60"})
        deployment.start()
        script = Script(pairs=500, seed=1)
        await produce(deployment, script, per_second=2000)
        await verify(deployment, script)
        code, findings = await examined(deployment)
        assert (code, faults(findings)) == (0, [])
        checks = {finding["check"] for finding in findings}
        assert checks >= {"settings", "broker", "topics", "retention", "partitioner"}
        assert checks >= {"clock", "permissions", "worker"}
        told = [finding["detail"] for finding in findings if finding["state"] == "ok"]
        assert sum("newest records with a key lie where murmur2 puts them" in t for t in told) == 2
        assert any(t.startswith("a worker runs here (process ") for t in told)
        assert any("1 in the group" in t for t in told)
        assert any("5 routes; newest message" in t for t in told)
        deployment.stop_all()
        before = await ends(deployment)
        await examined(deployment)
        assert await ends(deployment) == before

    asyncio.run(scenario())


def test_labels_by_crc32_are_found_and_cured(deploy: Callable[..., Any]) -> None:
    """Labels by librdkafka's default partitioner: a fault that names the producer's setting."""

    async def scenario() -> None:
        deployment = await deploy()
        partitions = deployment.settings.topics.partitions
        await produce(deployment, Script(pairs=100, seed=2), per_second=5000)
        await send_labels(deployment, 300, lambda key: binascii.crc32(key) % partitions)
        code, findings = await examined(deployment)
        assert code == 1
        (found,) = faults(findings)
        assert found["check"] == "partitioner"
        assert found["where"] == deployment.settings.topic_names.ground_truth
        assert "crc32 explains them" in found["detail"]
        assert "partitioner=murmur2_random" in found["cure"]
        lines = doctor(deployment.environment, folder=deployment.datadir("w")).stdout.splitlines()
        assert len(lines) == len(findings)
        assert sum(line.startswith("fault ") and "murmur2_random" in line for line in lines) == 1

    asyncio.run(scenario())


def test_missing_and_wrong_topics_are_faults(deploy: Callable[..., Any]) -> None:
    """A missing topic, another partition count and a short retention: one line each, exit 1."""

    async def scenario() -> None:
        deployment = await deploy()
        topics = deployment.settings.topic_names
        admin = AIOKafkaAdminClient(bootstrap_servers=deployment.settings.broker.servers)
        await admin.start()
        gone = [topics.commands, topics.ground_truth, topics.rewards]
        await admin.delete_topics(gone)
        while set(gone) & set(await admin.list_topics()):
            await asyncio.sleep(0.1)
        short = {"retention.ms": "60000"}
        await admin.create_topics(
            [
                NewTopic(topics.ground_truth, 8, 1),
                NewTopic(topics.rewards, 2, 1, topic_configs=short),
            ]
        )
        await admin.close()
        code, findings = await examined(deployment)
        assert code == 1
        told = {(one["check"], one["where"]): one for one in faults(findings)}
        assert told["topics", topics.commands]["cure"] == "Create: leverframe topics create"
        assert (
            "has 8 partitions, the settings say 4"
            in (told["topics", topics.ground_truth]["detail"])
        )
        pair = f"{topics.predictions}, {topics.ground_truth}"
        assert "4 and 8 partitions" in told["topics", pair]["detail"]
        assert "kept for 60 s" in told["retention", topics.rewards]["detail"]
        assert len(told) == 4

    asyncio.run(scenario())


def test_no_broker_is_one_clear_message(tmp_path: Path) -> None:
    """Nobody at that address: exit code 2, the cure, no traceback; wrong settings likewise."""
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = doctor({"LEVERFRAME_BROKER": address}, folder=tmp_path)
    assert done.returncode == 2
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("fault")]
    assert f"no Kafka broker answers at {address}" in line
    assert "leverframe broker start" in line
    assert done.stderr == ""
    wrong = doctor({"LEVERFRAME_TOPICS__PARTITIONS": "0"}, folder=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("leverframe: the settings have a fault")


def test_passwords_and_rights_are_told_apart(tmp_path: Path) -> None:
    """A broker with users: a wrong password names the setting, a user without rights each right."""
    from leverframe.agents.settings import load_settings
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import start_broker
    from leverframe.devbroker.ports import HOST, free_ports
    from leverframe.streams.runtime.topic_admin import create_topics

    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    users = 'user_admin="a-secret" user_worker="w-secret"'
    port, *others = free_ports(3)
    open_, guarded, controller = (f"{HOST}:{number}" for number in (port, *others))
    # The tests' way to see that it is up asks without a password, hence the open listener.
    running = start_broker(
        data_dir=tmp_path / "broker",
        port=port,
        cache=cache_root(),
        report=lambda _: None,
        detached=False,
        extra_properties={
            "listeners": f"PLAINTEXT://{open_},GUARDED://{guarded},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{open_},GUARDED://{guarded}",
            "controller.quorum.voters": f"1@{controller}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": f"{module} required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
        },
    )

    def as_user(name: str, password: str) -> dict[str, str]:
        return {
            "LEVERFRAME_BROKER": guarded,
            "LEVERFRAME_BROKER__SECURITY": "sasl_plaintext",
            "LEVERFRAME_BROKER__USERNAME": name,
            "LEVERFRAME_BROKER__PASSWORD": password,
        }

    try:
        wrong = doctor(as_user("worker", "guessed"), folder=tmp_path)
        assert wrong.returncode == 2
        (line,) = [line for line in wrong.stdout.splitlines() if line.startswith("fault")]
        assert "refuses user 'worker': [broker] username or password is wrong" in line
        assert wrong.stderr == ""
        unsafe = doctor({"LEVERFRAME_BROKER": guarded}, folder=tmp_path)
        assert unsafe.returncode == 2
        assert "[broker] security is wrong (it is plaintext)" in unsafe.stdout

        settings = load_settings(None, as_user("admin", "a-secret"))
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        full = doctor(as_user("admin", "a-secret"), folder=tmp_path)
        assert full.returncode == 0, full.stdout
        assert "user 'admin' may do all 22 things a worker does" in full.stdout

        bare = doctor(as_user("worker", "w-secret"), "--json", folder=tmp_path)
        assert bare.returncode == 1
        told = {(one["where"], one["cure"]) for one in faults(json.loads(bare.stdout))}
        for name, right in (
            ("predictions", "Read"),
            ("leverframe-attribution-changelog", "Read"),
            ("leverframe", "Read"),
            ("leverframe-attribution-0", "Write"),
            ("leverframe-learning-0", "Write"),
        ):
            assert (name, f"Allow {right} on it (kafka-acls.sh --add)") in told, name
        for answer in (wrong, unsafe, full, bare):
            assert "secret" not in answer.stdout
            assert "guessed" not in answer.stdout
    finally:
        running.stop()
