"""What happens to the lanes when the group gives partitions or takes them, and as time passes."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from leverframe.streams.runtime.lanes import Lanes
from leverframe.streams.runtime.microbatch import Reading

__all__ = ["Membership", "flow_of"]


def flow_of(app: Any, topics: Iterable[str]) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """Return what stops fetching for a partition, and what lets it go on.

    Parameters
    ----------
    app : faust.App
        Whose consumer fetches.
    topics : iterable of str
        Input topics of one agent.

    Returns
    -------
    tuple of callable
        Both take a partition.
    """

    def hold_back(partition: int) -> None:
        for topic in topics:
            app.consumer.on_buffer_full(TP(topic, partition))

    def let_go_on(partition: int) -> None:
        for topic in topics:
            app.consumer.on_buffer_drop(TP(topic, partition))

    return hold_back, let_go_on


class Membership:
    """Connects Faust's rebalances and timers to the lanes.

    Parameters
    ----------
    app : faust.App
        Member of the group.
    lanes : mapping of str to Lanes
        By agent.
    inputs : mapping of str to tuple of str
        Input topics by agent.
    """

    def __init__(
        self, app: Any, lanes: Mapping[str, Lanes], inputs: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._app = app
        self._lanes = lanes
        self._inputs = inputs
        self._ticked_s = time.monotonic()

    def connect(self, tick_s: float) -> None:
        """Ask Faust to call.

        Parameters
        ----------
        tick_s : float
            Time between ticks, seconds.
        """
        app = self._app
        app.leverframe_membership = self  # Faust holds its receivers weakly
        app.transport.before_revocation = self.leaving
        app.on_partitions_revoked.connect(self.revoked)
        app.on_partitions_assigned.connect(self.assigned)
        app.on_before_shutdown.connect(self.stopping)
        app.timer(interval=tick_s, name="tick")(self.tick)

    def _split(self, tps: Iterable[TP]) -> list[tuple[Lanes, set[int]]]:
        known = list(tps)
        return [
            (lanes, {tp.partition for tp in known if tp.topic in self._inputs[name]})
            for name, lanes in self._lanes.items()
        ]

    def leaving(self, tps: Iterable[TP]) -> None:
        """Begin no new work, and give up what is still being restored.

        Parameters
        ----------
        tps : iterable of TP
            Partitions that are about to leave.
        """
        for lanes, partitions in self._split(tps):
            lanes.suspended = True
            lanes.abandon_opening(partitions)

    async def revoked(self, _: Any, partitions: Iterable[TP] = (), **__: Any) -> None:
        """Close the ledgers of partitions that leave, before the group goes on.

        Parameters
        ----------
        partitions : iterable of TP
            Partitions that leave.
        """
        for lanes, numbers in self._split(partitions):
            lanes.suspended = True
            await lanes.close(numbers)

    async def assigned(self, _: Any, partitions: Iterable[TP] = (), **__: Any) -> None:
        """Let work begin again.

        Parameters
        ----------
        partitions : iterable of TP
            Those of this worker now.
        """
        del partitions
        for lanes in self._lanes.values():
            lanes.suspended = False

    async def stopping(self, _: Any, **__: Any) -> None:
        """Close all ledgers."""
        for lanes in self._lanes.values():
            lanes.suspended = True
            await lanes.close()

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
        for name, lanes in self._lanes.items():
            readings: dict[int, dict[str, Reading]] = {}
            for tp in assignment:
                if tp.topic in self._inputs[name]:
                    readings.setdefault(tp.partition, {})[tp.topic] = consumer.reading_of(tp)
            lanes.tick(readings)
