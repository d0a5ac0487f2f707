"""What a newcomer tries in the first hour, on a real worker: look, filter, put back, misuse."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import configure
from harness import Deployment, Script, produce, read_all, verify, wait_for_rewards
from patience import PATIENCE_S, eventually
from records import label_record, prediction_record

from leverframe.serving.subscriber import Subscriber
from leverframe.serving.tasks import end_task
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker

MAIN = [sys.executable, "-m", "leverframe.agents.cli.main"]


def environment_of(deployment: Deployment, **more: str) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LEVERFRAME")}
    return {**mine, **deployment.environment, **more}


def run(deployment: Deployment, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*MAIN, *words],
        env=environment_of(deployment, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


async def said(deployment: Deployment, *words: str, **more: str) -> str:
    done = await asyncio.to_thread(run, deployment, *words, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def piped(deployment: Deployment, command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell that ends with the exit code of its first command, on stderr."""
    return subprocess.run(
        ["/bin/sh", "-c", f"{{ {' '.join(MAIN)} {command}; echo code $? >&2; }} | head -n 1"],
        env=environment_of(deployment, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_looking_at_a_running_job(deploy: Callable[..., Any]) -> None:
    """Control messages by time, the newest so many; pipes that close and terminals of ASCII."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        script = Script(pairs=3000, seed=1)
        await produce(deployment, script, per_second=3000)
        await verify(deployment, script)

        every = json_lines(await said(deployment, "watch", "--no-follow", "--json"))
        times = [message["issued_at_ms"] for message in every]
        assert len({message["route"] for message in every}) == 5
        assert times == sorted(times)
        newest = json_lines(await said(deployment, "watch", "--last", "3", "--no-follow", "--json"))
        assert len(newest) == 3
        assert newest[0]["issued_at_ms"] >= every[-3]["issued_at_ms"]
        shown = await said(deployment, "watch", "route-2", "--last", "1", "--no-follow")
        assert len(shown.splitlines()) == 1
        assert " route-2 " in shown
        at = datetime.fromtimestamp(times[-1] / 1000 + 1, UTC)
        if at.date() == datetime.now(UTC).date():
            assert "route-2" in await said(
                deployment, "explain", "route-2", "--at", f"{at:%H:%M:%S}", "--json"
            )

        for command in ("watch --heartbeats", "status --follow --json", "status", "--help"):
            ended = await asyncio.to_thread(piped, deployment, command)
            assert ended.stdout.count("\n") == 1, ended
            assert ended.stderr in {"code 141\n", "code 0\n"}, ended.stderr

    asyncio.run(scenario())


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_terminal_of_ascii_shows_escapes(deploy: Callable[..., Any]) -> None:
    """Names beyond ASCII are escaped as JSON does; nothing ends in a trace."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        ascii_alone = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        registered = await said(
            deployment, "arm", "register", "caf\u00e9", "\U0001f600", "--json", **ascii_alone
        )
        assert json.loads(registered)["weights"] == {"\U0001f600": 1.0}
        for command in ("status", "watch --no-follow", "explain caf\u00e9", "replay caf\u00e9"):
            shown = await said(deployment, *command.split(), **ascii_alone)
            assert shown.isascii()
            assert r"\ud83d\ude00" in shown, command
        refused = await asyncio.to_thread(run, deployment, "explain", "th\u00e9", **ascii_alone)
        assert r"th\u00e9" in refused.stderr

    asyncio.run(scenario())


@pytest.mark.drill
def test_status_tells_where_the_policy_comes_from(deploy: Callable[..., Any]) -> None:
    """Policy, evidence and last acknowledgement with their ages; a command hides no evidence."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__R__POLICY="ucb")
        deployment.start()
        settings = deployment.settings
        topics = settings.topic_names
        async with Subscriber(
            settings.broker.servers,
            control=topics.control,
            acks=topics.control_acks,
            replica="web-1",
        ):
            await said(deployment, "arm", "register", "r", "a", "--timeout", "40")
            async with AIOKafkaProducer(bootstrap_servers=settings.broker.servers) as producer:
                for at in range(20):
                    one, label = prediction_record(f"q{at}"), label_record(f"q{at}", 1)
                    await producer.send_and_wait(topics.predictions, one.value, key=one.key)
                    await producer.send_and_wait(topics.ground_truth, label.value, key=label.key)
            assert len(await wait_for_rewards(deployment, 20)) == 20
            deadline = time.monotonic() + PATIENCE_S
            while " 20 " not in (shown := await said(deployment, "status", "r")):
                assert time.monotonic() < deadline, shown
            assert "policy ucb, from the settings\n" in shown
            assert re.search(r"last acknowledgement \d+\.\d s ago, by web-1", shown)
            params = ("--params", '{"epsilon": 0.25}')
            await said(deployment, "set-policy", "r", "epsilon_greedy", *params)
            shown = await said(deployment, "status", "r")
            told = "policy epsilon_greedy (epsilon = 0.25), by command; the settings say ucb"
            assert told in shown
            assert " 20 " in shown, "the evidence from before the command"
            done = await asyncio.to_thread(run, deployment, "doctor", "--json")
            (differs,) = [f for f in json.loads(done.stdout) if f["check"] == "policy"]
            assert (differs["state"], differs["where"]) == ("warning", "route r")
            assert "by command" in differs["detail"]

    asyncio.run(scenario())


@pytest.mark.drill
def test_replay_says_that_the_state_has_moved_on(deploy: Callable[..., Any]) -> None:
    """While labels flow there is a fixed point at which both had the same digest."""

    async def scenario() -> None:
        deployment = await deploy()
        deployment.start()
        script = Script(pairs=1_000_000, seed=4, routes=1)
        producing = asyncio.create_task(produce(deployment, script, per_second=1500))
        await wait_for_rewards(deployment, 2000)

        async def told_while_labels_flow() -> str:
            told = await said(deployment, "replay", "route-0")
            assert not producing.done()
            return told if "; the state has moved on (" in told else ""

        told = await eventually(told_while_labels_flow, "the state has moved on")
        await end_task(producing)
        assert "both had" in told
        again = told.partition("--until-reward ")[2].partition(")")[0]
        fixed = await said(deployment, "replay", "route-0", "--until-reward", again)
        digest = told.partition("both had ")[2].split()[0]
        assert fixed.rstrip().endswith(f"state digest {digest}")

    asyncio.run(scenario())


def test_second_worker_on_a_datadir_is_refused(deploy: Callable[..., Any]) -> None:
    """One line with the other's process, exit code 2; a kill frees the folder."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_APP__PROCESSES="2")
        first = deployment.start()
        script = Script(pairs=500, seed=2)
        await produce(deployment, script, per_second=2000)
        await verify(deployment, script)
        refused = await asyncio.to_thread(
            run, deployment, "worker", LEVERFRAME_APP__DATADIR=str(deployment.datadir("w"))
        )
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert f"is in use by another worker (process {first.pid})" in line
        assert (
            f"(process {first.pid})"
            in (
                await asyncio.to_thread(
                    run, deployment, "doctor", LEVERFRAME_APP__DATADIR=str(deployment.datadir("w"))
                )
            ).stdout
        )
        first.kill()
        deployment.start()
        more = Script(pairs=500, seed=3)
        await produce(deployment, more, per_second=2000)
        assert len(await wait_for_rewards(deployment, 1000)) == 1000

    asyncio.run(scenario())


def test_topics_of_the_wrong_kind_are_all_told(deploy: Callable[..., Any]) -> None:
    """Sizes, cleanup and counts: `topics check`, `topics create` and the worker name each."""

    async def scenario() -> None:
        deployment = await deploy()
        topics = deployment.settings.topic_names
        wrong = {
            topics.learning_changelog: {"max.message.bytes": "1000000"},
            topics.dead_letters: {"max.message.bytes": "200000"},
            topics.control: {"cleanup.policy": "delete"},
        }
        await configure(deployment, wrong)
        deployment.environment["LEVERFRAME_TOPICS__PARTITIONS"] = "8"
        for command in (["topics", "check"], ["topics", "create"], ["worker"]):
            done = await asyncio.to_thread(run, deployment, *command)
            assert done.returncode == 2
            text = done.stdout + done.stderr
            assert f"{topics.predictions}" in text
            assert "has 4 partitions, the settings say 8" in text
            for name, (key, value) in ((n, next(iter(c.items()))) for n, c in wrong.items()):
                lines = [
                    line for line in text.splitlines() if f"{name}:" in line or f"{name} (" in line
                ]
                assert any(f"{key} is {value}" in line for line in lines), (command, name, text)

    asyncio.run(scenario())


BAD = [(b"ugly\x1b[2J", b"\xff\x00\x1b[2Jno json"), (None, b"{}"), (b"big", b" " * 950_000)]
GOOD = prediction_record("id-1", route="r")


async def with_dead_letters(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Send what is set aside, and return the letters by reason."""
    settings = deployment.settings
    topics = settings.topic_names
    label = label_record("id-1", 1)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.broker.servers, max_request_size=2_000_000
    ) as producer:
        # In a partition where no label would meet it, of a route that has no section yet.
        astray = (
            partition_of(b"id-1", settings.topics.partitions) + 1
        ) % settings.topics.partitions
        await producer.send_and_wait(topics.predictions, GOOD.value, key=GOOD.key, partition=astray)
        for key, value in BAD:
            await producer.send_and_wait(topics.predictions, value, key=key)
        await producer.send_and_wait(topics.ground_truth, label.value, key=label.key)
    deadline = time.monotonic() + PATIENCE_S
    while len(letters := await listed(deployment)) < 4:
        assert time.monotonic() < deadline, letters
    return {letter["reason"]: letter for letter in letters}


async def listed(deployment: Deployment, *options: str) -> list[dict[str, Any]]:
    return list(json.loads(await said(deployment, "dead-letters", "list", "--json", *options)))


def test_dead_letters_are_found_and_shown(deploy: Callable[..., Any]) -> None:
    """By reason, topic and time; raw bytes are shown so that they cannot steer a terminal."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__SHOP__WINDOW_S="600")
        deployment.start()
        predictions = deployment.settings.topic_names.predictions
        before = str(time.time_ns() // 1_000_000 - 60_000)
        letters = await with_dead_letters(deployment)
        assert set(letters) == {"unknown_route", "unreadable", "missing_key", "oversized"}
        unknown, ugly, big = (letters[n] for n in ("unknown_route", "unreadable", "oversized"))
        assert await listed(deployment, "--reason", "unknown_route") == [unknown]
        assert await listed(deployment, "--last", "1") == (await listed(deployment))[-1:]
        assert await listed(deployment, "--until", before) == []
        assert len(await listed(deployment, "--since", before, "--topic", predictions)) == 4
        shown = await said(deployment, "dead-letters", "list")
        assert len(shown.splitlines()) == 4
        assert "\x1b" not in shown
        whole = await said(deployment, "dead-letters", "show", ugly["place"])
        assert r"\xff\u0000\u001b[2Jno json" in whole
        assert f"{predictions} {ugly['partition']}:{ugly['offset']}" in whole
        assert "cut from 950,000" in await said(deployment, "dead-letters", "show", big["place"])
        gone = await asyncio.to_thread(run, deployment, "dead-letters", "show", "0:99999")
        assert (gone.returncode, "no dead letter lies at 0:99999" in gone.stderr) == (1, True)

    asyncio.run(scenario())


def test_dead_letters_are_put_back(deploy: Callable[..., Any]) -> None:
    """With key, value and record time, where murmur2 says; what cannot be is named and left."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_ROUTES__SHOP__WINDOW_S="600")
        settings = deployment.settings
        worker = deployment.start()
        before = str(time.time_ns() // 1_000_000 - 60_000)
        place = (await with_dead_letters(deployment))["unknown_route"]["place"]
        # The cause is mended: the route has a section now.
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, PATIENCE_S)
        deployment.environment["LEVERFRAME_ROUTES__R__WINDOW_S"] = "600"
        deployment.start()
        redrive = ("dead-letters", "redrive")
        asked = await asyncio.to_thread(run, deployment, *redrive, place)
        assert (asked.returncode, asked.stdout.strip()) == (1, ""), (
            "without an answer nothing is sent"
        )
        done = await asyncio.to_thread(run, deployment, *redrive, "--since", before, "--yes")
        assert done.returncode == 1
        for told in ("cut from 950,000", "it has no key", "2 put back, 2 left"):
            assert told in done.stderr
        topic, home = settings.topic_names.predictions, partition_of(b"id-1", 4)
        assert f"{place} -> {topic} {home}:" in done.stdout
        (reward,) = await wait_for_rewards(deployment, 1)
        assert (reward.request_id, reward.reward) == ("id-1", 1.0)
        records = await read_all(settings.broker.servers, topic, settings.topics.partitions)
        mine = [record for record in records if record.key == GOOD.key]
        first, again = sorted(mine, key=lambda record: bool(record.partition == home))
        assert (again.partition, again.value) == (home, GOOD.value)
        assert again.timestamp == first.timestamp
        assert dict(again.headers)["leverframe.redriven_from"].decode() == place

    asyncio.run(scenario())
