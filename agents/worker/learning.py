"""The shell of ``streams.learning.step``: fetch states, step, commit; heartbeats by wall time."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final

from msgspec.structs import replace

from leverframe.agents.settings import Settings
from leverframe.agents.telemetry.traces import ControlTraces
from leverframe.agents.worker.event_log import DeadLetterLog, log_decisions
from leverframe.agents.worker.in_their_words import InTheirWords
from leverframe.agents.worker.inputs import Inputs
from leverframe.agents.worker.outputs import (
    audit_output,
    burst_record,
    control_output,
    dead_letter_output,
)
from leverframe.agents.worker.route_settings import applied_output
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.measurements import route_of_metrics
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.learning.configure import again
from leverframe.streams.learning.decision import burst_end_ms
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.outcome import LearningOutcome
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.step import InputKind, learn
from leverframe.streams.routes.applied import RoutesInForce, route_in_force
from leverframe.streams.routes.route import Route
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.ledger import FIRST_KEY, Ledger, Output, Positions
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.partition import Idle
from leverframe.streams.runtime.runs import Run, own_keys, unseen

__all__ = ["LearningShell", "LearningWork", "input_kinds"]

log = make_logger()

_BURST_S: Final = 1.0  # without another label: the burst is over
_KNOWN_ROUTES: Final = 16_384
_LONGEST_ROUTE: Final = 512  # bytes: what is longer is no route's name, and not worth keeping


def input_kinds(settings: Settings) -> dict[str, InputKind]:
    """Return what each input topic of learning holds, by its full name."""
    topics = settings.topic_names
    return {
        topics.rewards: "rewards",
        topics.commands: "commands",
        topics.control_acks: "control-acks",
        topics.traffic: "traffic",
    }


def _state_keys(runs: list[Run]) -> list[bytes]:
    """Return the routes that records speak of, with repetitions: also those of measurements."""
    keys = own_keys(runs)
    if len(keys) < sum(len(run.records) for run in runs):
        known = (route_of_metrics(record.key) for run in runs for record in run.records)
        keys += [route for route in known if route and route[0]]
    return keys


class LearningShell:
    """What all partitions of ``rewards``, ``commands``, ``control-acks``, ``traffic`` share."""

    def __init__(
        self,
        settings: Settings,
        in_force: RoutesInForce,
        inputs: Inputs,
        in_their_words: InTheirWords | None = None,
        traces: ControlTraces | None = None,
    ) -> None:
        self.inputs = inputs
        self.in_their_words = in_their_words
        self.traces = traces
        self.topics = settings.topic_names
        self.kinds = input_kinds(settings)
        self.routes = in_force.written
        self.in_force = in_force
        self.route_partitions = settings.topics.route_partitions
        self.max_value_bytes = settings.app.max_value_bytes
        self.max_routes = settings.app.max_routes
        self.key = settings.control_key
        self.set_aside = DeadLetterLog()
        # Rollbacks and promotions since the start, by kind, route and cause.
        self.moved: Counter[tuple[str, str, str]] = Counter()
        # Asked for every record, and murmur2 in Python takes as long as counting one.
        self._known_partition = lru_cache(maxsize=_KNOWN_ROUTES)(
            partial(partition_of, partitions=self.route_partitions)
        )

    def begin(self, ledger: Ledger) -> "LearningWork":
        """Begin the work on a partition whose ledger is open."""
        return LearningWork(self, ledger)

    def partition_of(self, key: bytes) -> int:
        """Return the partition where a route's state is kept."""
        if len(key) > _LONGEST_ROUTE:
            return partition_of(key, self.route_partitions)
        return self._known_partition(key)


class LearningWork:
    """Folds the micro-batches of one partition into its routes, and keeps their messages fresh.

    ``heartbeats`` are the newest of each route.
    """

    def __init__(self, shell: LearningShell, ledger: Ledger) -> None:
        self._shell = shell
        self._ledger = ledger
        # When each route's newest control message was published, by a clock that never jumps: a
        # wall clock set back would silence the heartbeats. Those of before a restart are due now.
        self._published_s = {key.decode(): -math.inf for key, _ in ledger.scan(FIRST_KEY)}
        self.heartbeats: dict[str, ControlMessage] = {}
        # Routes where labels wait for a decision: since when, by that clock, and until when by
        # stream time.
        self._bursts: dict[str, tuple[float, int]] = {}
        self._renewals = shell.inputs.renewals
        # By route, what was applied and not found on the topic when it was last looked at.
        self._doubted: dict[str, bytes] = {}

    async def handle(self, runs: list[Run]) -> "asyncio.Future[None] | None":
        """Fold one micro-batch and begin to make it durable."""
        fresh, positions = unseen(self._ledger.positions, runs, time.time_ns() // 1_000_000)
        if not fresh:
            return None
        self._shell.inputs.note_gaps(self._ledger, fresh)
        if self._shell.traces is not None:
            self._shell.traces.read(fresh, self._shell.topics.rewards)
        keys = sorted(set(_state_keys(fresh)))
        states = {
            key.decode(): decode_route(raw)
            for key, raw in zip(keys, self._ledger.get_many(keys), strict=True)
            if raw is not None
        }
        outcome = learn(
            [(self._shell.kinds[run.topic], run.records) for run in fresh],
            states,
            self._shell.routes,
            max_value_bytes=self._shell.max_value_bytes,
            partition_of=self._shell.partition_of,
            new_routes_left=self._shell.max_routes - len(self._published_s),
        )
        return await self._commit(outcome, positions)

    async def tick(self, idle: Mapping[str, Idle]) -> bool:
        """Publish the heartbeats that are due, by wall time, however idle the topics are."""
        del idle
        self._shell.set_aside.write_if_due()
        if self._renewals != self._shell.inputs.renewals:
            self._renewals = self._shell.inputs.renewals
            await self._shell.inputs.begin("learning", self._ledger)
        due = self._due(time.monotonic())
        raw = self._ledger.get_many([name.encode() for name in due])
        outcome, now_ms = LearningOutcome(), time.time_ns() // 1_000_000
        for (name, route), value in zip(due.items(), raw, strict=True):
            state = None if value is None else decode_route(value)
            if state is not None and state.arms:
                outcome.states[name] = state
                own = route_in_force(self._shell.routes, name, state.applied) or route
                outcome.control.append(heartbeat(state, own, now_ms))
                outcome.applied += self._unknown_to_join(state, now_ms)
        if outcome.control:
            await (await self._commit(outcome, None))
            self.heartbeats.update((message.route, message) for message in outcome.control)
        await self._decide_on_bursts(now_ms)
        return False

    def _unknown_to_join(self, state: RouteState, now_ms: int) -> Iterator[AppliedSettings]:
        """What the state holds and the topic has lost, as where it was made anew."""
        if state.applied == self._shell.in_force.raw(state.route):
            self._doubted.pop(state.route, None)
            return
        if self._doubted.get(state.route) != state.applied:
            # The topic may only be late: once more, and it is told.
            self._doubted[state.route] = state.applied
            return
        log.warning(
            "route_settings_told_again",
            message=f"{self._shell.topics.route_settings} does not have what was applied to route "
            f"{state.route!r}: it is written again",
            route=state.route,
        )
        yield again(state, now_ms)

    async def _decide_on_bursts(self, now_ms: int) -> None:
        """Decide where labels have waited long enough for others of their burst.

        By a command that is published with what came of it: so a replay decides where the job did.
        """
        now_s = time.monotonic()
        over = {
            name: due_ms
            for name, (at_s, due_ms) in self._bursts.items()
            if now_s - at_s >= self._patience_s(name)
        }
        if not over:
            return
        for name in over:
            del self._bursts[name]
        shell, ledger = self._shell, self._ledger
        raw = ledger.get_many([name.encode() for name in over])
        states = {
            name: decode_route(value)
            for name, value in zip(over, raw, strict=True)
            if value is not None
        }
        after_reward = ledger.positions.offsets.get(shell.topics.rewards, 0)
        asked = {
            name: burst_record(
                name, due_ms, after_reward, shell.topics.commands, ledger.partition, now_ms
            )
            for name, due_ms in over.items()
            if name in states
        }
        outcome = learn(
            [("commands", list(asked.values()))],
            states,
            shell.routes,
            max_value_bytes=shell.max_value_bytes,
            partition_of=shell.partition_of,
        )
        if outcome.states:
            decided = [asked[name].output for name in outcome.states]
            await (await self._commit(outcome, None, decided))

    def _patience_s(self, name: str) -> float:
        """How long labels of a route wait for others; a decision may be due more seldom."""
        route = self._shell.in_force.get(name)
        return max(_BURST_S, 0.0 if route is None else route.settings.decision_interval_ms / 1000)

    def _note_bursts(self, states: Mapping[str, RouteState]) -> None:
        now_s = time.monotonic()
        for name, state in states.items():
            route = route_in_force(self._shell.routes, name, state.applied)
            if route is None or not state.labels_since_decision or not state.arms:
                self._bursts.pop(name, None)
                continue
            due_ms = burst_end_ms(state, route)
            if self._bursts.get(name, (0.0, 0))[1] != due_ms:
                self._bursts[name] = now_s, due_ms

    def _due(self, now_s: float) -> dict[str, Route]:
        """Routes whose newest message is older than a third of its time to live."""
        found = {}
        for name, at_s in self._published_s.items():
            route = self._shell.in_force.get(name)
            if route is not None and now_s - at_s >= route.settings.ttl_s / 3:
                found[name] = route
        return found

    async def _commit(
        self,
        outcome: LearningOutcome,
        positions: Positions | None,
        decided: Sequence[Output] = (),
    ) -> "asyncio.Future[None]":
        shell, ledger = self._shell, self._ledger
        outputs: list[Output] = []
        traced = None if shell.traces is None else shell.traces.begin()
        for message in outcome.control:
            own = control_output(message, shell.topics.control, ledger.partition, shell.key)
            if traced is not None:
                own = replace(own, headers=[*own.headers, *traced.headers(message)])
            told = shell.in_their_words
            outputs += (own,) if told is None else told.control(own, message)
        outputs += [
            dead_letter_output(letter, shell.topics.dead_letters, shell.route_partitions)
            for letter in outcome.dead_letters
        ]
        outputs += [
            applied_output(one, shell.topics.route_settings, ledger.partition, shell.key)
            for one in outcome.applied
        ]
        outputs += [
            audit_output(event, shell.topics.audit, shell.route_partitions)
            for event in outcome.audit
        ]
        outputs += decided
        changes: dict[bytes, bytes | None] = {
            name.encode(): encode_route(state) for name, state in outcome.states.items()
        }
        durable = await ledger.begin_commit(changes, outputs, positions)
        if traced is not None:
            traced.end_with(durable)
        shell.set_aside.note(outcome.dead_letters)
        shell.moved.update(
            (message.kind, message.route, message.cause["why"])
            for message in outcome.control
            if message.kind in {"rollback", "promotion"}
        )
        log_decisions(outcome.control, ledger.partition)
        self._note_bursts(outcome.states)
        now_s = time.monotonic()
        for name in outcome.states:
            self._published_s.setdefault(name, -math.inf)
        self._published_s.update((message.route, now_s) for message in outcome.control)
        return durable
