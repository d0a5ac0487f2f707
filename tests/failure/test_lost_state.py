"""State that was lost is told from a first start; it is rebuilt, or given up, by a command."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import make_anew, pairs, run, send, steer, stop
from harness import (
    Deployment,
    control_messages,
    lose_disk,
    read_all,
    settled_states,
    wait_for_count,
    wait_for_rewards,
)
from msgspec import structs
from patience import PATIENCE_S

from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker


async def counted(deploy: Callable[..., Any]) -> tuple[Deployment, ControlMessage]:
    """Give a stopped deployment: 10 labels of arm a, arm b rolled back; and what is in force."""
    deployment: Deployment = await deploy()
    worker = deployment.start()
    for arm in ("a", "b"):
        assert steer(deployment, "arm", "register", "r", arm).returncode == 0, deployment.logs()
    assert run(deployment, "rollback", "r", "b").returncode == 0
    await send(deployment, pairs("a"))
    await wait_for_count(deployment, 10, PATIENCE_S)
    await stop(worker)
    return deployment, await in_force(deployment)


async def in_force(deployment: Deployment) -> ControlMessage:
    return (await control_messages(deployment))["r"][-1]


async def refused(deployment: Deployment, name: str = "w", **more: str) -> str:
    """Start a worker that must end by itself; return its log."""
    worker = deployment.start(name, **more)
    assert await asyncio.to_thread(worker.wait, PATIENCE_S) in {1, 2}
    return deployment.log(name)


def test_a_lost_changelog_is_refused_and_rebuilt(deploy: Callable[..., Any]) -> None:
    """The cache is the only copy: it is kept, written again, and the route goes on above."""

    async def scenario() -> None:
        deployment, before = await counted(deploy)
        await make_anew(deployment, deployment.settings.topic_names.learning_changelog)
        told = await refused(deployment)
        assert "leverframe state rebuild" in told
        rebuilt = run(deployment, "state", "rebuild")
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert "written again" in rebuilt.stdout
        deployment.start()
        await send(deployment, pairs("b"))
        states = await wait_for_count(deployment, 20, PATIENCE_S)
        assert states["r"].arms["a"].count == 20
        assert states["r"].arms["b"].phase == "quarantined"
        after = await in_force(deployment)
        assert (after.epoch, after.seq) > (before.epoch, before.seq)

    asyncio.run(scenario())


def test_without_any_copy_the_job_refuses_and_restarts_above(deploy: Callable[..., Any]) -> None:
    """Changelog and disk are gone: epochs never begin at 0; the quarantine stays."""

    async def scenario() -> None:
        deployment, before = await counted(deploy)
        await make_anew(deployment, deployment.settings.topic_names.learning_changelog)
        lose_disk(deployment)
        assert "leverframe restart-from" in await refused(deployment)
        done = run(deployment, "restart-from", "beginning", "--yes", "--actor", "ada")
        assert done.returncode == 0, done.stderr
        assert "quarantined b" in done.stdout
        told = json.loads(run(deployment, "audit", "r", "--last", "1", "--json").stdout)
        assert (told["actor"], told["action"]) == ("ada", "restart-from")
        assert (told["params"], told["epoch"]) == ({"counted_from": "beginning"}, before.epoch + 1)
        deployment.start()
        states = await wait_for_count(deployment, 10, PATIENCE_S)
        assert states["r"].arms["a"].count == 10
        assert states["r"].arms["b"].phase == "quarantined"
        after = await in_force(deployment)
        assert after.epoch > before.epoch
        assert after.quarantined == ["b"]
        assert after.weights["b"] == 0

    asyncio.run(scenario())


@pytest.mark.drill
def test_inputs_made_anew_are_counted_after_a_restart(deploy: Callable[..., Any]) -> None:
    """Nothing twice: what the old topics held is marked, and a replay begins after the mark."""

    async def scenario() -> None:
        deployment, _ = await counted(deploy)
        settings = deployment.settings
        topics = settings.topic_names
        await make_anew(deployment, topics.predictions, topics.ground_truth)
        await send(deployment, pairs("b", 7))
        assert "made anew" in await refused(deployment)
        done = run(deployment, "restart-from", "beginning", "--yes")
        assert done.returncode == 0, done.stderr
        deployment.start()
        states = await wait_for_count(deployment, 7, PATIENCE_S)
        assert states["r"].labels == 7
        rewards = await read_all(
            settings.broker.servers, topics.rewards, settings.topics.route_partitions
        )
        assert sum(record.key == b"r" for record in rewards) == 17
        live = await settled_states(deployment)
        records = await read_partition(settings, "r")
        replayed = replay(
            records,
            compile_routes(settings.routes),
            input_kinds(settings),
            max_value_bytes=settings.app.max_value_bytes,
        )
        assert state_digest(replayed["r"]) == state_digest(live["r"])

    asyncio.run(scenario())


@pytest.mark.drill
def test_restart_from_now_counts_nothing_of_before(deploy: Callable[..., Any]) -> None:
    """And it refuses while a worker runs."""

    async def scenario() -> None:
        deployment, _ = await counted(deploy)
        worker = deployment.start()
        await send(deployment, ["c0"])
        await wait_for_rewards(deployment, 11, PATIENCE_S)
        running = run(deployment, "restart-from", "now", "--yes")
        assert running.returncode == 1
        assert "stop every worker" in running.stderr
        await stop(worker)
        await send(deployment, pairs("b"))
        assert run(deployment, "restart-from", "now", "--yes").returncode == 0
        deployment.start()
        await send(deployment, pairs("d", 3))
        states = await wait_for_count(deployment, 3, PATIENCE_S)
        assert states["r"].labels == 3

    asyncio.run(scenario())


def test_a_second_application_on_the_same_topics_is_refused(deploy: Callable[..., Any]) -> None:
    """It would count every label again, with epochs that begin at 0."""

    async def scenario() -> None:
        deployment, _ = await counted(deploy)
        other = {"LEVERFRAME_APP__ID": "second"}
        assert run(deployment, "topics", "create", **other).returncode == 0
        told = await refused(deployment, "second", **other)
        assert "another application counts these topics" in told
        assert "restart-from" in told

    asyncio.run(scenario())


@pytest.mark.drill
def test_statistics_older_than_what_is_followed_are_refused(deploy: Callable[..., Any]) -> None:
    """As from an old copy of the changelog: a higher epoch on ``control`` is the proof."""

    async def scenario() -> None:
        deployment, before = await counted(deploy)
        settings = deployment.settings
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers)
        await producer.start()
        try:
            later = structs.replace(before, epoch=before.epoch + 3)
            partition = partition_of(b"r", settings.topics.route_partitions)
            await producer.send_and_wait(
                settings.topic_names.control, encode(later), b"r", partition
            )
        finally:
            await producer.stop()
        told = await refused(deployment)
        assert f"at epoch {later.epoch}" in told
        assert "leverframe restart-from" in told
        assert run(deployment, "restart-from", "now", "--yes").returncode == 0
        deployment.start()
        await send(deployment, pairs("b", 3))
        await wait_for_count(deployment, 3, PATIENCE_S)
        assert (await in_force(deployment)).epoch > later.epoch

    asyncio.run(scenario())
