"""What happens to the partitions when the group gives or takes them, and as time passes."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from leverframe.streams.runtime.partition import Reading
from leverframe.streams.runtime.partitions import Partitions

__all__ = ["ConsumerFlow", "Membership"]


class ConsumerFlow:
    """Stops what Faust's consumer fetches for a partition of some topics, and lets it go on."""

    def __init__(self, app: Any, topics: Iterable[str]) -> None:
        self._app = app
        self._topics = tuple(topics)

    def hold_back(self, partition: int) -> None:
        """Fetch no more for a partition."""
        for topic in self._topics:
            self._app.consumer.on_buffer_full(TP(topic, partition))

    def let_go_on(self, partition: int) -> None:
        """Fetch again for a partition."""
        for topic in self._topics:
            self._app.consumer.on_buffer_drop(TP(topic, partition))


class Membership:
    """Connects Faust's rebalances and timers to the partitions and input topics of each agent."""

    def __init__(
        self,
        app: Any,
        agents: Mapping[str, Partitions[Any]],
        inputs: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._app = app
        self._agents = agents
        self._inputs = inputs
        self._ticked_s = time.monotonic()

    def connect(self, tick_s: float) -> None:
        """Ask Faust to call, and to tick every ``tick_s`` seconds."""
        app = self._app
        app.leverframe_membership = self  # Faust holds its receivers weakly
        app.transport.before_revocation = self.leaving
        app.on_partitions_revoked.connect(self.revoked)
        app.on_partitions_assigned.connect(self.assigned)
        app.on_before_shutdown.connect(self.stopping)
        app.timer(interval=tick_s, name="tick")(self.tick)

    def _by_agent(self, tps: Iterable[TP]) -> list[tuple[Partitions[Any], set[int]]]:
        known = list(tps)
        return [
            (partitions, {tp.partition for tp in known if tp.topic in self._inputs[name]})
            for name, partitions in self._agents.items()
        ]

    def leaving(self, tps: Iterable[TP]) -> None:
        """Begin no new work, and give up what is still being restored."""
        for partitions, numbers in self._by_agent(tps):
            partitions.is_suspended = True
            partitions.abandon_opening(numbers)
            partitions.abandon_blocked(numbers)

    async def revoked(self, _: Any, partitions: Iterable[TP] = (), **__: Any) -> None:
        """Close the partitions that leave, before the group goes on."""
        for own, numbers in self._by_agent(partitions):
            own.is_suspended = True
            await own.close(numbers)

    async def assigned(self, _: Any, partitions: Iterable[TP] = (), **__: Any) -> None:
        """Let work begin again."""
        del partitions
        for own in self._agents.values():
            own.is_suspended = False

    async def stopping(self, _: Any, **__: Any) -> None:
        """Close all partitions."""
        for own in self._agents.values():
            own.is_suspended = True
            own.abandon_blocked()
            await own.close()

    async def tick(self) -> None:
        """Let every partition of this worker do what time demands."""
        consumer = self._app.consumer
        try:
            consumer.stay_in_group()
            assignment = consumer.assignment()
        except ConsumerNotStarted:
            return
        since_s = time.monotonic() - self._ticked_s
        self._ticked_s += since_s
        if self._app.rebalancing or self._app.should_stop:
            return
        if since_s > self._app.conf.broker_session_timeout / 2:
            # Frozen for long: the group may have moved on. Opening a ledger now would fence the
            # heir; the next tick comes after the consumer has heard from the group.
            return
        for name, own in self._agents.items():
            readings: dict[int, dict[str, Reading]] = {}
            for tp in assignment:
                if tp.topic in self._inputs[name]:
                    readings.setdefault(tp.partition, {})[tp.topic] = consumer.reading_of(tp)
            own.tick(readings)

    def why_not_ready(self) -> str | None:
        """Say what this worker still waits for; None where all its partitions are open."""
        try:
            assignment = self._app.consumer.assignment()
        except ConsumerNotStarted:
            return "the consumer has not started"
        if self._app.rebalancing:
            return "the group is rebalancing"
        for name, own in self._agents.items():
            assigned = {tp.partition for tp in assignment if tp.topic in self._inputs[name]}
            opening = sorted(assigned - own.works.keys())
            if opening:
                return f"{name}: partitions {opening} are being opened"
        unread: str | None = self._app.consumer.why_unread()
        return unread
