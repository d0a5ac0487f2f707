"""A header key that is not UTF-8, on every topic: nobody who reads there ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import Deployment, wait_for_rewards
from odd_headers import send_odd
from patience import PATIENCE_S, until
from records import label_record, prediction_record

from leverframe.agents.operator.commands import ask
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlAck
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker

_ROUTE = b"r"
_COMMAND = Command(command_id="odd", route="r", action="freeze", actor="test", issued_at_ms=1)
_ACK = ControlAck(
    route="r", replica="odd", epoch=0, seq=1, applied_at_ms=1, weights_digest="0" * 16
)
# What is good is counted; what is not is set aside, or belongs to nobody.
_RECORDS: dict[str, tuple[bytes, bytes | None]] = {
    "predictions": (b"odd", prediction_record("odd", propensity=0.5).value),
    "ground-truth": (b"odd", label_record("odd", 1).value),
    "commands": (_ROUTE, encode(_COMMAND)),
    "rewards": (_ROUTE, b"{}"),
    "control": (_ROUTE, b"{}"),
    "control-acks": (_ROUTE, encode(_ACK)),
    "traffic": (_ROUTE, b"{}"),
    "dead-letters": (b"anything", b"\xff"),
    "route-settings": (_ROUTE, b"{}"),
    "audit": (_ROUTE, b"{}"),
    "leverframe-attribution-changelog": (b"zz", None),
    "leverframe-learning-changelog": (b"zz", None),
}
_COMMANDS: dict[str, list[str]] = {
    "status": ["status", "r", "--json"],
    "explain": ["explain", "r", "--last", "9"],
    "replay": ["replay", "r", "--json"],
    "evaluate": ["evaluate", "r", "-p", "ab_test"],
    "doctor": ["doctor", "--json"],
    "topics": ["topics", "check"],
    "audit": ["audit", "r", "--json"],
}


async def send_pairs(deployment: Deployment, names: list[str]) -> None:
    topics = deployment.settings.topic_names
    async with AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers) as producer:
        for name in names:
            prediction = prediction_record(name, arm="ab"[len(name) % 2], propensity=0.5)
            label = label_record(name, 1)
            await producer.send(topics.predictions, prediction.value, key=prediction.key)
            await producer.send(topics.ground_truth, label.value, key=label.key)


async def send_odd_everywhere(deployment: Deployment) -> None:
    counts = {topic.name: topic.partitions for topic in deployment.settings.declared_topics()}
    prefix = deployment.settings.topics.prefix
    assert {f"{prefix}{name}" for name in _RECORDS} == set(counts)
    for name, (key, value) in _RECORDS.items():
        topic = f"{prefix}{name}"
        at_ms = time.time_ns() // 1_000_000
        partition = partition_of(key, counts[topic])
        servers = deployment.settings.broker.servers
        await send_odd(servers, topic, partition, key, value, at_ms)


def run(deployment: Deployment, words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", *words],
        env={**os.environ, **deployment.environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def watched(deployment: Deployment) -> tuple[int, str]:
    """What ``watch`` shows first, and how it ends by Ctrl-C."""
    shown = deployment.folder / "watch.txt"
    with shown.open("wb") as file:
        watching = subprocess.Popen(
            [sys.executable, "-m", "leverframe.agents.cli.main", "watch", "--heartbeats"],
            env={**os.environ, **deployment.environment, "PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until(
            lambda: watching.poll() is not None or b" r " in shown.read_bytes(),
            "watch shows a heartbeat",
        )
        watching.send_signal(signal.SIGINT)
        return watching.wait(PATIENCE_S), shown.read_text(encoding="utf-8")
    finally:
        watching.kill()
        watching.wait()


def test_header_that_is_not_utf8_ends_no_reader(deploy: Callable[..., Any]) -> None:
    """Such a record on each topic: worker, subscriber and every command still do their work."""

    async def drill() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__TTL_S="3")
        settings = deployment.settings
        worker = deployment.start()
        await send_pairs(deployment, [f"p{'x' * i}" for i in range(100)])
        assert len(await wait_for_rewards(deployment, 100)) == 100, deployment.log()[-3000:]
        control = settings.topic_names.control
        async with Subscriber(settings.broker.servers, control=control) as old:
            await send_odd_everywhere(deployment)
            await wait_until(lambda: old.refused == 1, "the old subscriber counts what it refused")
            await wait_until(lambda: old.in_force("r"), "the route is heard")
            seen = old.in_force("r")
            assert seen is not None
            await send_pairs(deployment, ["after"])
            # The odd pair is a good one, and the one after it is met.
            await wait_for_pairs(deployment, {"odd", "after"})
            await wait_until(
                lambda: (now := old.in_force("r")) and now.message.seq > seen.message.seq,
                "the old subscriber follows",
            )
            assert old.is_healthy
        async with Subscriber(settings.broker.servers, control=control) as new:
            assert new.in_force("r") is not None
            assert new.refused == 1
        order: Any = {"params": None, "actor": "test", "timeout_s": 30.0}
        await ask(settings, "r", "unfreeze", arm=None, **order)
        assert worker.poll() is None, deployment.log()[-3000:]
        for name, words in _COMMANDS.items():
            done = await asyncio.to_thread(run, deployment, words)
            assert done.returncode == 0, f"{name}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
            assert "Traceback" not in done.stderr, name
        _, told = await asyncio.to_thread(watched, deployment)
        assert "Traceback" not in told, told
        assert " r " in told, told
        # State comes back through such a record, too.
        worker.kill()
        worker.wait()
        deployment.start("again")
        await send_pairs(deployment, ["at-last"])
        await wait_for_pairs(deployment, {"at-last"})

    asyncio.run(drill())


async def wait_until(
    condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S
) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        await asyncio.sleep(0.1)


async def wait_for_pairs(deployment: Deployment, names: set[str]) -> None:
    """Wait until these requests have a reward."""
    from harness import read_all
    from msgspec.json import decode

    settings = deployment.settings
    deadline = time.monotonic() + PATIENCE_S
    missing = names
    while missing:
        assert time.monotonic() < deadline, f"{missing}\n{deployment.logs()}"
        records = await read_all(
            settings.broker.servers, settings.topic_names.rewards, settings.topics.route_partitions
        )
        missing = names - {decode(record.value).get("request_id") for record in records}
