"""Starts an application anew while no worker runs: what will be counted, and doing it.

For each partition one transaction gives up what the ledger holds, says from where its inputs are
read, and marks ``rewards``. Learning comes first: a restart that ends half-way has counted nothing
twice, and is done again.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from msgspec import Struct

from leverframe.agents.datadir import claim
from leverframe.agents.ledgers import (
    AGENTS,
    inputs_of,
    ledger_settings,
    partitions_of,
)
from leverframe.agents.operator.apply import applied_routes
from leverframe.agents.operator.control import newest_messages
from leverframe.agents.settings import Settings
from leverframe.agents.worker.outputs import audit_output
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.learning.restart import RESTART_KEY, carry_over, encode_restart
from leverframe.streams.learning.state import (
    RouteState,
    decode_route,
    encode_route,
    new_route,
    state_digest,
)
from leverframe.streams.routes.applied import stored_form
from leverframe.streams.runtime.inputs import InputFacts, InputReader, ids_of
from leverframe.streams.runtime.kafka import client_options, partition_of
from leverframe.streams.runtime.ledger import LAYOUT, Ledger, Output, Positions
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

__all__ = [
    "CountFrom",
    "Plan",
    "audit_of",
    "carry_out_restart",
    "plan_restart",
    "require_no_member",
]

CountFrom: TypeAlias = Literal["beginning", "now"] | int
"""From where inputs are counted; a number is a time, ms since the epoch."""

_CACHE_BYTES: Final = 64 << 20
_GRACE_S: Final = 5.0
_PAUSE_S: Final = 1.0


class Plan(Struct, frozen=True):
    """What a restart will do.

    Attributes
    ----------
    count_from : str or int
        As asked.
    waiting : dict of str to int
        Offsets of each input topic that will be counted, all partitions together.
    starts : dict of str to dict of int to int
        The first of them, by topic and partition.
    routes : dict of str to ControlMessage
        The newest message of each route on ``control``: epochs go above.
    applied : dict of str to AppliedSettings
        What was applied to routes: it stays.
    """

    count_from: CountFrom
    waiting: dict[str, int]
    starts: dict[str, dict[int, int]]
    routes: dict[str, ControlMessage]
    applied: dict[str, AppliedSettings]

    @property
    def said(self) -> str:
        """Return from where, in words."""
        return (
            self.count_from
            if isinstance(self.count_from, str)
            else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.count_from / 1000))
        )


async def plan_restart(settings: Settings, count_from: CountFrom) -> Plan:
    """Look at what would be counted; changes nothing."""
    topics = settings.topics
    reader = InputReader(settings.broker, settings.topic_names.prefix + settings.app.id)
    starts: dict[str, dict[int, int]] = {}
    waiting: dict[str, int] = {}
    try:
        for topic in inputs_of(settings, "attribution"):
            facts = [
                (await reader.facts([topic], partition))[topic]
                for partition in range(topics.partitions)
            ]
            starts[topic] = await _starts(reader, topic, facts, count_from)
            waiting[topic] = sum(
                max(0, fact.end - starts[topic][partition]) for partition, fact in enumerate(facts)
            )
    finally:
        await reader.stop()
    applied = await applied_routes(settings)
    return Plan(count_from, waiting, starts, await newest_messages(settings), applied)


async def _starts(
    reader: InputReader, topic: str, facts: list[InputFacts], count_from: CountFrom
) -> dict[int, int]:
    if count_from == "beginning":
        return {partition: fact.begin for partition, fact in enumerate(facts)}
    if count_from == "now":
        return {partition: fact.end for partition, fact in enumerate(facts)}
    return await reader.offsets_at(topic, len(facts), count_from)


async def require_no_member(
    settings: Settings, report: Callable[[str], None] = lambda _said: None
) -> None:
    """Wait as long as one that was killed stays in the group; raise ``LeverframeError`` after."""
    group = settings.topic_names.prefix + settings.app.id
    session_s = settings.app.session_timeout_s
    deadline = time.monotonic() + session_s + _GRACE_S
    admin = AIOKafkaAdminClient(**client_options(settings.broker))
    await admin.start()
    try:
        while members := await _members(admin, group):
            if time.monotonic() > deadline:
                raise LeverframeError(
                    f"the group {group!r} has {members} member(s): stop every worker first"
                )
            report(
                f"the group {group!r} has {members} member(s); one that was killed leaves within "
                f"{session_s:.0f} s: waiting"
            )
            await asyncio.sleep(_PAUSE_S)
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    try:
        _, _, _, _, _, members, *_ = (await admin.describe_consumer_groups([group]))[0].groups[0]
    except GroupCoordinatorNotAvailableError:
        return 0  # no group was ever made on this broker
    return len(members)


async def carry_out_restart(
    settings: Settings,
    plan: Plan,
    actor: str,
    report: Callable[[str], None] = lambda _said: None,
) -> Path | None:
    """Do it; ``report`` hears of each partition. Returns where the caches were set aside.

    The topic ``audit`` says on each route that ``actor`` did it.

    Raises ``SettingsError`` if a worker has the data folder, ``LeverframeError`` if one is in the
    group, ``LedgerError`` if a partition cannot be taken over: then do it again.
    """
    claim(Path(settings.app.datadir))
    await require_no_member(settings, report)
    now_ms = time.time_ns() // 1_000_000
    aside = _set_caches_aside(settings, now_ms)
    reader = InputReader(settings.broker, settings.topic_names.prefix + settings.app.id)
    memory = Memory(_CACHE_BYTES, _CACHE_BYTES)
    try:
        for agent in ("learning", "attribution"):
            ledgers = ledger_settings(settings, agent, memory)
            for partition in range(partitions_of(settings, agent)):
                ledger = await open_ledger(ledgers, partition, any_layout=True)
                try:
                    facts = await reader.facts(inputs_of(settings, agent), partition)
                    if agent == "learning":
                        await _begin_learning(settings, plan, ledger, facts, now_ms, actor)
                    else:
                        await _begin_attribution(plan, ledger, facts)
                finally:
                    await ledger.close()
                report(f"{agent} {partition}: begins anew")
    finally:
        await reader.stop()
    return aside


def _set_caches_aside(settings: Settings, now_ms: int) -> Path | None:
    """Keep what the caches hold: it may be the only copy."""
    home = Path(settings.app.datadir) / settings.app.id
    aside = Path(settings.app.datadir) / f"before-restart-{now_ms}"
    found = [home / agent for agent in AGENTS if (home / agent).exists()]
    for folder in found:
        aside.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, aside / folder.name)
    return aside if found else None


async def _begin_learning(
    settings: Settings,
    plan: Plan,
    ledger: Ledger,
    facts: Mapping[str, InputFacts],
    now_ms: int,
    actor: str,
) -> None:
    topics = settings.topic_names
    states = {}
    if ledger.positions.layout > LAYOUT:
        # Written by a newer version: what holds is on control.
        await ledger.forget_all()
    known = {key.decode(): decode_route(raw) for key, raw in ledger.entries()}
    count = settings.topics.route_partitions
    named = plan.routes.keys() | plan.applied.keys()
    own = {name for name in named if partition_of(name.encode(), count) == ledger.partition}
    for name in sorted(known.keys() | own):
        state = carry_over(known.get(name), plan.routes.get(name), now_ms)
        told = plan.applied.get(name)
        if told is not None and told.settings is not None:
            state = state or new_route(name)
            state.applied = stored_form(told)
        if state is not None:
            states[name] = state
    mark = encode_restart(
        states, restarted_at_ms=now_ms, counted_from=plan.said, application=settings.app.id
    )
    changes = {name.encode(): encode_route(state) for name, state in states.items()}
    ends = {topic: fact.end for topic, fact in facts.items()}
    params = {"counted_from": plan.said}
    events = [
        audit_of(
            state, actor, now_ms, "restart-from", params=params, evidence=_given_up(known.get(name))
        )
        for name, state in states.items()
    ]
    await ledger.commit(
        changes,
        [
            Output(topics.rewards, ledger.partition, RESTART_KEY, mark),
            *(audit_output(event, topics.audit, count) for event in events),
        ],
        Positions(ends, {}, ids_of(facts)),
    )


def _given_up(before: RouteState | None) -> dict[str, Any]:
    """What the audit keeps of the state that was there."""
    if before is None:
        return {"given_up": {"labels": {}, "state_digest": ""}}
    labels = {name: arm.count for name, arm in before.arms.items()}
    return {"given_up": {"labels": labels, "state_digest": state_digest(before)}}


def audit_of(state: RouteState, actor: str, now_ms: int, action: str, **more: Any) -> AuditEvent:
    """Return what the audit keeps of what a person did to a route while no worker ran."""
    return AuditEvent(
        route=state.route,
        event="command",
        actor=actor,
        action=action,
        epoch=state.epoch,
        seq=state.seq,
        at_ms=now_ms,
        state_digest=state_digest(state),
        **more,
    )


async def _begin_attribution(plan: Plan, ledger: Ledger, facts: Mapping[str, InputFacts]) -> None:
    # Positions stay until all is gone: one that ends half-way has only forgotten who waits.
    await ledger.forget_all()
    starts = {topic: plan.starts[topic][ledger.partition] for topic in facts}
    await ledger.commit({}, [], Positions(starts, {}, ids_of(facts)))
