"""The shell of ``streams.learning.step``: fetch states, step, commit; heartbeats by wall time."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from leverframe.agents.settings import Settings
from leverframe.agents.worker.attribution import own_keys, unseen
from leverframe.agents.worker.event_log import DeadLetterLog, tell_decisions
from leverframe.agents.worker.outputs import control_output, dead_letter_output
from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import decode_route, encode_route
from leverframe.streams.learning.step import InputKind, LearningOutcome, learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.lanes import Idle
from leverframe.streams.runtime.ledger import FIRST_KEY, Ledger, Output, Positions

__all__ = ["LearningShell", "input_kinds"]

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


class LearningShell:
    """Handles micro-batches of ``rewards``, ``commands``, ``control-acks`` and ``traffic``.

    Parameters
    ----------
    settings : Settings
        Of the application.
    routes : Routes
        Compiled from them.
    """

    def __init__(self, settings: Settings, routes: Routes) -> None:
        self._topics = settings.topic_names
        self._kinds = input_kinds(settings)
        self._routes = routes
        self._route_partitions = settings.topics.route_partitions
        # Asked for every record, and murmur2 in Python takes as long as counting one.
        self._known_partition = lru_cache(maxsize=_KNOWN_ROUTES)(
            partial(partition_of, partitions=self._route_partitions)
        )
        self._max_value_bytes = settings.app.max_value_bytes
        self._key = settings.control_key
        self._max_routes = settings.app.max_routes
        self.set_aside = DeadLetterLog()
        # Ledger -> route -> when its newest control message was published, by a clock that never
        # jumps: a wall clock set back would silence the heartbeats. Gone with the ledger.
        self._published_s: WeakKeyDictionary[Ledger, dict[str, float]] = WeakKeyDictionary()
        self._heartbeats: WeakKeyDictionary[Ledger, dict[str, ControlMessage]] = WeakKeyDictionary()

    def _partition_of(self, key: bytes) -> int:
        if len(key) > _LONGEST_ROUTE:
            return partition_of(key, self._route_partitions)
        return self._known_partition(key)

    async def handle(
        self, ledger: Ledger, batches: list[tuple[str, Sequence[Any]]]
    ) -> "asyncio.Future[None] | None":
        """Fold one micro-batch and begin to make it durable.

        Parameters
        ----------
        ledger : Ledger
            Of the partition.
        batches : list of (str, sequence)
            Topic and raw records, in the order in which they were read.

        Returns
        -------
        Future or None
            Done when it is durable; None where all of it was counted before.
        """
        fresh, positions = unseen(ledger.positions, batches)
        if not fresh:
            return None
        routes = sorted(set(own_keys(fresh)))
        states = {
            key.decode(): decode_route(raw)
            for key, raw in zip(routes, ledger.get_many(routes), strict=True)
            if raw is not None
        }
        outcome = learn(
            [(self._kinds[topic], records) for topic, records in fresh],
            states,
            self._routes,
            max_value_bytes=self._max_value_bytes,
            partition_of=self._partition_of,
            new_routes_left=self._max_routes - len(self._published(ledger)),
        )
        return await self._commit(ledger, outcome, positions)

    async def tick(self, ledger: Ledger, idle: Mapping[str, Idle]) -> bool:
        """Publish the heartbeats that are due.

        Parameters
        ----------
        ledger : Ledger
            Of the partition.
        idle : mapping of str to Idle
            Not used: heartbeats go by wall time.

        Returns
        -------
        bool
            False: all that was due is done.
        """
        del idle
        self.set_aside.tell()
        now_s = time.monotonic()
        due = []
        for name, at_s in self._published(ledger).items():
            route = self._routes.get(name)
            if route is not None and now_s - at_s >= route.settings.ttl_s / 3:
                due.append((name, route))
        if not due:
            return False
        raw = ledger.get_many([name.encode() for name, _ in due])
        outcome, now_ms = LearningOutcome(), time.time_ns() // 1_000_000
        for (name, route), value in zip(due, raw, strict=True):
            state = None if value is None else decode_route(value)
            if state is not None and state.arms:
                outcome.states[name] = state
                outcome.control.append(heartbeat(state, route, now_ms))
        if outcome.control:
            await (await self._commit(ledger, outcome, None))
            beats = self._heartbeats.setdefault(ledger, {})
            beats.update((message.route, message) for message in outcome.control)
        return False

    def _published(self, ledger: Ledger) -> dict[str, float]:
        """All routes of a partition; those of before a restart are due at once."""
        published = self._published_s.get(ledger)
        if published is None:
            published = self._published_s[ledger] = {
                key.decode(): -math.inf for key, _ in ledger.scan(FIRST_KEY)
            }
        return published

    def heartbeats(self) -> list[ControlMessage]:
        """Return the newest heartbeat of each route whose partition is on this worker."""
        return [message for beats in self._heartbeats.values() for message in beats.values()]

    async def _commit(
        self, ledger: Ledger, outcome: LearningOutcome, positions: Positions | None
    ) -> "asyncio.Future[None]":
        topics = self._topics
        outputs: list[Output] = [
            control_output(message, topics.control, ledger.partition, self._key)
            for message in outcome.control
        ]
        outputs += [
            dead_letter_output(letter, topics.dead_letters, self._route_partitions)
            for letter in outcome.dead_letters
        ]
        changes: dict[bytes, bytes | None] = {
            name.encode(): encode_route(state) for name, state in outcome.states.items()
        }
        durable = await ledger.begin_commit(changes, outputs, positions)
        self.set_aside.note(outcome.dead_letters)
        tell_decisions(outcome.control, ledger.partition)
        now_s, published = time.monotonic(), self._published(ledger)
        for name in outcome.states:
            published.setdefault(name, -math.inf)
        published.update((message.route, now_s) for message in outcome.control)
        return durable
