"""The audit through ``kill -9`` and a lost disk: each event once, and the same in a replay."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run, steer
from harness import (
    SHORT_SESSION,
    Deployment,
    control_messages,
    lose_disk,
    read_all,
    settled_states,
    wait_for_count,
)
from two_arms import Serving, newest

from leverframe.agents.operator.replay import read_partition
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.codec import decode
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"
_HALF = '{ name = "static", params = { weights = { a = 0.5, b = 0.5 } } }'


async def audited(deployment: Deployment) -> list[AuditEvent]:
    settings = deployment.settings
    records = await read_all(settings.broker.servers, settings.topic_names.audit, 1)
    return [decode(AuditEvent, record.value) for record in records]


async def replayed(deployment: Deployment) -> list[AuditEvent]:
    """What the recorded records come to, one at a time."""
    settings = deployment.settings
    routes, kinds = compile_routes(settings.routes), input_kinds(settings)
    states: dict[str, Any] = {}
    events: list[AuditEvent] = []
    for record in await read_partition(settings, "r"):
        run_ = [(kinds[record.topic], [record])]
        out = learn(run_, states, routes, max_value_bytes=settings.app.max_value_bytes)
        states |= out.states
        events += out.audit
    return events


def without_seq(events: list[AuditEvent]) -> list[tuple[Any, ...]]:
    """Heartbeats raise it, and a replay has none; nor does it hear of replicas."""
    return [
        (event.event, event.outcome, event.arm, event.actor, event.epoch, event.state_digest)
        for event in events
    ]


@pytest.mark.parametrize("most", [1, pytest.param(5, marks=pytest.mark.drill)])
def test_each_event_is_written_once_whoever_is_killed(
    deploy: Callable[..., Any], most: int
) -> None:
    """Commands, a rollback and what led to it, across kills: one event for each."""

    async def drill() -> None:
        deployment = await deploy(
            **SHORT_SESSION,
            LEVERFRAME_TOPICS__PARTITIONS="1",
            LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1",
            **{
                _ROUTE
                + "POLICY": '{ name = "static", params = { weights = { a = 0.5, b = 0.5 } }}',
                _ROUTE + "NURSERY_LABELS": "0",
                _ROUTE + "TTL_S": "3",
            },
        )
        worker = deployment.start("w0")
        kills = 0

        async def die() -> None:
            nonlocal worker, kills
            kills += 1
            worker.kill()
            worker.wait()
            if kills == 1:
                lose_disk(deployment, "w0")
            worker = deployment.start(f"w{kills % 2}")

        async def say(*words: str) -> Any:
            return await asyncio.to_thread(steer, deployment, *words, LEVERFRAME_ACTOR="ada")

        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Serving(deployment, producer, 7)
            await serving.serve(300, 0.5, a=0.9, b=0.9)
            # A replay puts commands among rewards by their times: so let none be under way.
            await wait_for_count(deployment, serving.sent)
            await settled_states(deployment)
            frozen = await say("freeze", "r")
            assert frozen.returncode == 0, frozen.stderr
            while kills < most - 1:
                await die()
            assert (await say("freeze", "r")).returncode == 1
            assert (await say("unfreeze", "r")).returncode == 0
            await serving.serve(60, 0.5, a=0.9, b=0.3)
            await die()  # with a suspicion in the state, and labels that wait
            message = await newest(deployment)
            while message is None or message.quarantined != ["b"]:
                assert serving.sent < 20_000, deployment.logs()
                await serving.serve(60, 0.5, a=0.9, b=0.3)
                message = await newest(deployment)
        assert kills == most
        await wait_for_count(deployment, serving.sent)
        await settled_states(deployment)
        told = await audited(deployment)
        assert without_seq(told) == without_seq(await replayed(deployment))
        await _each_once(deployment, told)
        await asyncio.to_thread(_as_shown, deployment, told)

    asyncio.run(drill())


async def _each_once(deployment: Deployment, told: list[AuditEvent]) -> None:
    """Held against ``control``, which says the same in its own way."""
    messages = (await control_messages(deployment))["r"]
    worth = [m for m in messages if m.cause.get("why") in {"command", "guard", "registered"}]
    worth += [m for m in messages if m.cause.get("why") == "probation"]
    by_message = [event for event in told if event.event != "verdict" and event.outcome == "done"]
    assert Counter((e.epoch, e.seq, e.state_digest) for e in by_message) == Counter(
        (m.epoch, m.seq, m.state_digest) for m in worth
    )
    kinds = Counter((event.event, event.outcome) for event in told)
    assert kinds["rollback", "done"] == 1
    assert kinds["command", "done"] == 2
    assert kinds["command", "refused"] == 1


def _as_shown(deployment: Deployment, told: list[AuditEvent]) -> None:
    """By the command line, of one actor, as lines, as records and as a table."""
    shown = run(deployment, "audit", "r")
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == len(told)
    assert "rollback   leverframe | b was rolled back: mean 0." in shown.stdout
    own = run(deployment, "audit", "--actor", "ada", "--json")
    events = [json.loads(line) for line in own.stdout.splitlines()]
    assert [event["action"] for event in events] == ["freeze", "freeze", "unfreeze"]
    assert [event.get("outcome", "done") for event in events] == ["done", "refused", "done"]
    later = run(deployment, "audit", "--since", str(events[1]["at_ms"]), "--csv", "-")
    rows = later.stdout.splitlines()
    assert rows[0].startswith("time,route,event,outcome,actor,signed")
    assert len(rows) - 1 == sum(event.at_ms >= events[1]["at_ms"] for event in told)
    none = run(deployment, "audit", "--until", "1000")
    assert (none.returncode, none.stdout) == (0, "")
    assert "no event of the audit is like that" in none.stderr
