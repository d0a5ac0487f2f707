"""A real worker on a real broker: what comes in, what goes out, what is set aside."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from harness import (
    Deployment,
    Script,
    committed_lag,
    control_messages,
    produce,
    read_all,
    route_states,
    settled_states,
    verify,
    wait_for_rewards,
)
from patience import PATIENCE_S, eventually
from records import label_record, prediction_record

from leverframe.agents.operator.commands import ask
from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import MAX_KEPT_BYTES
from leverframe.schemas.errors import LeverframeError
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker


async def dead_letters(deployment: Deployment) -> list[Any]:
    settings = deployment.settings
    return await read_all(
        settings.broker.servers,
        settings.topic_names.dead_letters,
        settings.topics.route_partitions,
    )


def reason(record: Any) -> str:
    return dict(record.headers)["leverframe.reason"].decode()


async def explained(deployment: Deployment) -> None:
    """``leverframe explain`` tells the newest change as it was published, and where from."""
    environment = {**os.environ, **deployment.environment}

    def said(command: str, *options: str) -> str:
        whole = [sys.executable, "-m", "leverframe.agents.cli.main", command, "route-3", *options]
        return subprocess.run(
            whole, env=environment, capture_output=True, check=True, text=True
        ).stdout

    async def newest() -> ControlMessage:
        published = (await control_messages(deployment))["route-3"]
        return [one for one in published if one.kind != "heartbeat"][-1]

    async def rests() -> bool:
        await settled_states(deployment)
        before = await newest()
        await asyncio.sleep(1)
        return await newest() == before

    await eventually(rests, "the route changes no more")
    last = await newest()
    [change] = orjson.loads(await asyncio.to_thread(said, "explain", "--json"))
    assert (change["message"]["epoch"], change["message"]["seq"]) == (last.epoch, last.seq)
    text = await asyncio.to_thread(said, "explain", "--last", "100")
    assert "was registered (first_reward)" in text
    [*_, recompute] = re.findall(r"leverframe replay route-3 (--until.*)", text)
    recompute = recompute.split()
    assert recompute[0] == "--until-reward"
    replayed = orjson.loads(await asyncio.to_thread(said, "replay", *recompute, "--json"))
    assert replayed["digest"] == last.state_digest
    assert replayed["weights"] == last.weights
    for arm, known in last.cause.get("arms", {}).items():
        assert replayed["arms"][arm]["recent"] == known["recent"]
    whole = orjson.loads(await asyncio.to_thread(said, "replay", "--json"))
    recent = whole["arms"]["arm-0"]["recent"]
    in_words = f"of late {recent['mean']:.6f} of {recent['labels']}"
    assert in_words in await asyncio.to_thread(said, "replay")


def test_worker_joins_learns_and_commits_to_the_end(deploy: Callable[..., Any]) -> None:
    """Every pair is rewarded once, statistics equal a recount, committed offset = end offset."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        script = Script(pairs=3000, seed=1)
        await produce(deployment, script, per_second=3000)
        await verify(deployment, script)

        async def caught_up() -> bool:
            return await committed_lag(deployment) == 0

        await eventually(caught_up, "committed offset = end offset on every partition")
        newest = await newest_messages(deployment.settings)
        assert set(newest) == {f"route-{i}" for i in range(5)}
        await explained(deployment)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "codec",
    [
        None,
        *(pytest.param(one, marks=pytest.mark.drill) for one in ("gzip", "snappy", "lz4")),
        "zstd",
    ],
)
def test_worker_reads_any_compression(deploy: Callable[..., Any], codec: Any) -> None:
    """Producers may compress with whatever Kafka knows."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        topics = deployment.settings.topic_names
        producer = AIOKafkaProducer(
            bootstrap_servers=deployment.settings.broker.servers, compression_type=codec
        )
        await producer.start()
        for i in range(20):
            prediction, label = prediction_record(f"x{i}"), label_record(f"x{i}", 1)
            await producer.send(topics.predictions, prediction.value, key=prediction.key)
            await producer.send(topics.ground_truth, label.value, key=label.key)
        await producer.stop()
        rewards = await wait_for_rewards(deployment, 20)
        assert len(rewards) == 20

    asyncio.run(scenario())


def test_worker_sets_bad_input_aside_and_goes_on(deploy: Callable[..., Any]) -> None:
    """Each kind of bad record is a dead letter with raw bytes, coordinates and reason."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        topics = deployment.settings.topic_names
        good = prediction_record("ok")
        bad: list[tuple[str, bytes | None, bytes | None]] = [
            ("unreadable", b"a", b"{nonsense"),
            ("invalid", b"b", b'{"request_id":"b","route":"r","arm":1,"prediction":1}'),
            ("tombstone", b"c", None),
            ("missing_key", None, good.value),
            ("key_mismatch", b"d", good.value),
            ("oversized", b"e", b" " * 700_000),
            ("conflict", b"ok", b'{"request_id":"ok","route":"r","arm":"b","prediction":1}'),
            # Keys of the ledger itself, from a stranger, must not be read as a request's entry.
            ("key_mismatch", b"\0positions", good.value),
        ]
        producer = AIOKafkaProducer(
            bootstrap_servers=deployment.settings.broker.servers, max_request_size=2_000_000
        )
        await producer.start()
        await producer.send_and_wait(topics.predictions, good.value, key=good.key)
        sent = {}
        for name, key, value in bad:
            at = await producer.send_and_wait(topics.predictions, value, key=key)
            sent[at.partition, at.offset] = (name, key, value)
        label = label_record("ok", 1)
        await producer.send_and_wait(topics.ground_truth, label.value, key=label.key)
        await producer.stop()
        (reward,) = await wait_for_rewards(deployment, 1)
        assert reward.request_id == "ok"

        async def all_there() -> bool:
            return len(await dead_letters(deployment)) == len(bad)

        await eventually(all_there, "a dead letter for each bad record")
        for record in await dead_letters(deployment):
            headers = dict(record.headers)
            assert headers["leverframe.topic"].decode() == topics.predictions
            at = (int(headers["leverframe.partition"]), int(headers["leverframe.offset"]))
            name, key, value = sent.pop(at)
            assert reason(record) == name
            assert (record.key, record.value) == (key, value and value[:MAX_KEPT_BYTES])
        assert not sent

    asyncio.run(scenario())


def test_commands_are_answered_and_followed_by_a_subscriber(deploy: Callable[..., Any]) -> None:
    """A command is answered by its control message; a subscriber applies and acknowledges it."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        settings = deployment.settings
        topics = settings.topic_names
        seen: list[Any] = []
        async with Subscriber(
            settings.broker.servers,
            control=topics.control,
            acks=topics.control_acks,
            replica="test",
            on_rollback=seen.append,
        ) as routing:
            order = {"arm": None, "params": None, "actor": "test", "timeout_s": PATIENCE_S}
            for arm in ("a", "b"):
                answer = await ask(settings, "r", "register_arm", **{**order, "arm": arm})
                assert answer.message.cause["arm"] == arm
            answer = await ask(settings, "r", "rollback", **{**order, "arm": "b"})
            assert answer.message.weights == {"a": 1.0, "b": 0.0}
            with pytest.raises(LeverframeError, match="no eligible arm"):
                await ask(settings, "r", "rollback", **{**order, "arm": "a"})

            async def applied() -> bool:
                return bool(seen)

            await eventually(applied, "the subscriber's callback")
            assigned = routing.assign("r", "unit-1")
            assert assigned is not None
            assert assigned[0] == "a"
            assert routing.is_healthy

        async def acknowledged() -> bool:
            acks = await read_all(
                settings.broker.servers, topics.control_acks, settings.topics.route_partitions
            )
            kinds = Counter(orjson.loads(record.value)["epoch"] for record in acks)
            return kinds[answer.message.epoch] >= 1

        await eventually(acknowledged, "an acknowledgement of the rollback's epoch")

    asyncio.run(scenario())


def test_heartbeats_renew_what_is_in_force(deploy: Callable[..., Any]) -> None:
    """With nothing happening, heartbeats with rising seq say the same weights again."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__TTL_S="1.5")
        deployment.start()
        settings = deployment.settings
        await ask(
            settings, "r", "register_arm", arm="a", params=None, actor="test", timeout_s=PATIENCE_S
        )

        async def three_beats() -> bool:
            messages = (await control_messages(deployment)).get("r", [])
            beats = [message for message in messages if message.kind == "heartbeat"]
            assert all(beat.weights == {"a": 1.0} for beat in beats)
            return len(beats) >= 3

        await eventually(three_beats, "three heartbeats")

    asyncio.run(scenario())


def test_expiry_forgets_orphans_and_closed_accounts(deploy: Callable[..., Any]) -> None:
    """When windows have closed, the ledger is empty again, whoever waited in it."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__WINDOW_S="1", LEVERFRAME_APP__TICK_S="0.1")
        deployment.start()
        settings = deployment.settings
        topics = settings.topic_names
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers)
        await producer.start()
        for name in ("pair", "orphan"):
            record = prediction_record(name)
            await producer.send_and_wait(topics.predictions, record.value, key=record.key)
        for name in ("pair", "stranger"):
            record = label_record(name, 1)
            await producer.send_and_wait(topics.ground_truth, record.value, key=record.key)
        await producer.stop()
        assert len(await wait_for_rewards(deployment, 1)) == 1

        async def empty() -> bool:
            newest = {
                record.key: record.value
                for record in await read_all(
                    settings.broker.servers,
                    topics.attribution_changelog,
                    settings.topics.partitions,
                )
            }
            left = [k for k, value in newest.items() if value is not None and k != b"\0positions"]
            return not left and len(newest) > 3

        await eventually(empty, "an empty attribution ledger")

    asyncio.run(scenario())


def test_live_state_equals_the_replay(deploy: Callable[..., Any]) -> None:
    """What the worker came to, killed and restarted on the way, is what a replay comes to."""

    async def scenario() -> None:
        deployment = await deploy()
        settings = deployment.settings
        script = Script(pairs=4000, seed=31)
        worker = deployment.start()
        producing = asyncio.create_task(produce(deployment, script, per_second=2000))
        await wait_for_rewards(deployment, 1000)
        worker.kill()
        deployment.start()
        await producing
        await verify(deployment, script)
        live = await settled_states(deployment)
        assert len(live) == script.routes
        for name, state in live.items():
            records = await read_partition(settings, name)
            replayed = replay(
                records,
                compile_routes(settings.routes),
                input_kinds(settings),
                max_value_bytes=settings.app.max_value_bytes,
            )
            assert state_digest(replayed[name]) == state_digest(state)

    asyncio.run(scenario())


def test_worker_says_what_is_wrong_and_exits_with_2(deploy: Callable[..., Any]) -> None:
    """A topic with another partition count: one clear message with the cure, exit code 2."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.environment["LEVERFRAME_TOPICS__PARTITIONS"] = "7"
        worker = deployment.start()
        assert await asyncio.to_thread(worker.wait, PATIENCE_S) == 2
        log = deployment.log()
        assert "has 4 partitions, the settings say 7" in log
        assert "Traceback" not in log

    asyncio.run(scenario())


def test_worker_without_a_broker_exits_with_2(tmp_path: Path) -> None:
    """No broker there: one clear message with the cure, exit code 2, no traceback."""
    import socket
    import subprocess
    import sys

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "leverframe.agents.cli.main", "worker"],
            env={
                "PATH": "/usr/bin:/bin",
                "LEVERFRAME_BROKER": f"127.0.0.1:{port}",
                "LEVERFRAME_APP__DATADIR": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 2
    assert f"no Kafka broker answers at 127.0.0.1:{port}" in done.stderr
    assert "leverframe broker start" in done.stderr
    assert "Traceback" not in done.stderr


def test_silence_counts_the_default_and_a_label_revises_it(deploy: Callable[..., Any]) -> None:
    """No label in time: the route's default reward; a later one in the window takes its place."""

    async def scenario() -> None:
        deployment = await deploy(
            LEVERFRAME_ROUTES__R__WINDOW_S="600",
            LEVERFRAME_ROUTES__R__DEFAULT_REWARD="0.0",
            LEVERFRAME_ROUTES__R__DEFAULT_AFTER_S="1",
        )
        deployment.start()
        topics = deployment.settings.topic_names
        async with AIOKafkaProducer(
            bootstrap_servers=deployment.settings.broker.servers
        ) as producer:

            async def send(topic: str, record: Any) -> None:
                await producer.send_and_wait(topic, record.value, key=record.key)

            for name in ("silent", "late"):
                await send(topics.predictions, prediction_record(name))
            defaults = await wait_for_rewards(deployment, 2)
            assert {(r.request_id, r.reward, r.cause) for r in defaults} == {
                ("silent", 0.0, "expiry"),
                ("late", 0.0, "expiry"),
            }
            await send(topics.ground_truth, label_record("late", 1))
            rewards = await wait_for_rewards(deployment, 3)
        newest = rewards[-1]
        assert (newest.request_id, newest.cause, newest.revision) == ("late", "revision", 1)
        assert (newest.reward, newest.previous_reward) == (1.0, 0.0)

        async def recounted() -> bool:
            arm = (await route_states(deployment))["r"].arms["a"]
            return (arm.count, arm.sum_nano) == (2, 10**9)

        await eventually(recounted, "two labels, one right")

    asyncio.run(scenario())
