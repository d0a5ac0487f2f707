"""The shell of ``streams.attribution.step``: fetch entries, step, commit."""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from leverframe.agents.settings import Settings
from leverframe.agents.worker.event_log import DeadLetterLog
from leverframe.agents.worker.outputs import dead_letter_output
from leverframe.agents.worker.sweep import Portion, Sweeps
from leverframe.schemas.codec import encode, encode_reward
from leverframe.schemas.errors import LedgerError
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import decode_entry, encode_entry
from leverframe.streams.attribution.expiry import index_changes, sweep
from leverframe.streams.attribution.step import attribute
from leverframe.streams.attribution.traffic import (
    AgedTally,
    ServedTally,
    merge,
    merge_ages,
    traffic_of,
)
from leverframe.streams.routes.route import Routes
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.lanes import Idle
from leverframe.streams.runtime.ledger import Ledger, Output, Positions

__all__ = ["AttributionShell"]

# A producer's clock may lag behind another's by this much before its records count as late.
GRACE_MS: Final = 5_000
IDLE_AFTER_S: Final = 5.0
_UNIQUE: Final = struct.Struct(">cQ")

Untold: TypeAlias = tuple[ServedTally, Counter[tuple[str, str, str]], AgedTally]
"""What happened on a partition since its last tick."""


class AttributionShell:
    """Handles micro-batches of ``predictions`` and ``ground-truth``.

    Parameters
    ----------
    settings : Settings
        Of the application.
    routes : Routes
        Compiled from them.
    """

    def __init__(self, settings: Settings, routes: Routes) -> None:
        self._topics = settings.topic_names
        self._routes = routes
        self._route_partitions = settings.topics.route_partitions
        self._max_value_bytes = settings.app.max_value_bytes
        self._places: dict[str, tuple[int, bytes]] = {}
        self._sweeps = Sweeps()
        self.set_aside = DeadLetterLog()
        # Not worth a ledger entry: what a killed worker had seen is a second's worth of counts.
        self._untold: WeakKeyDictionary[Ledger, Untold] = WeakKeyDictionary()

    async def handle(
        self, ledger: Ledger, batches: list[tuple[str, Sequence[Any]]]
    ) -> "asyncio.Future[None] | None":
        """Join one micro-batch and begin to make it durable.

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
        predictions = self._topics.predictions
        # No reward depends on it, and a label that finds its prediction costs one step, not two.
        fresh.sort(key=lambda run: run[0] != predictions)
        keys = own_keys(fresh)
        found = zip(keys, ledger.get_many(keys), strict=True)
        entries = {key.decode(): decode_entry(raw) for key, raw in found if raw is not None}
        outcome = attribute(
            [(topic == predictions, records) for topic, records in fresh],
            entries,
            self._routes,
            max_value_bytes=self._max_value_bytes,
            label_topic=self._topics.ground_truth,
        )
        changes: dict[bytes, bytes | None] = {
            request_id.encode(): encode_entry(entry)
            for request_id, entry in outcome.entries.items()
        }
        topic, records = fresh[0]
        unique = _UNIQUE.pack(b"p" if topic == predictions else b"g", records[0].offset)
        changes |= index_changes(outcome.expiring, unique)
        outputs = self._rewards(outcome.rewards)
        outputs += [
            dead_letter_output(letter, self._topics.dead_letters, self._route_partitions)
            for letter in outcome.dead_letters
        ]
        durable = await ledger.begin_commit(changes, outputs, positions)
        self.set_aside.note(outcome.dead_letters)
        self._note(ledger, outcome.counts, outcome.aged, outcome.served)
        return durable

    def _rewards(self, rewards: Sequence[Reward]) -> list[Output]:
        topic = self._topics.rewards
        return [
            Output(topic, *self._place(reward.route), encode_reward(reward)) for reward in rewards
        ]

    def _note(
        self,
        ledger: Ledger,
        counts: Counter[tuple[str, str, str]],
        aged: AgedTally,
        served: ServedTally,
    ) -> None:
        told = self._untold.setdefault(ledger, ({}, Counter(), {}))
        merge(told[0], served)
        told[1].update(counts)
        merge_ages(told[2], aged)

    def _traffic(self, ledger: Ledger, now_ms: int) -> list[Output]:
        """What happened since the last tick, for the closed loop."""
        topic = self._topics.traffic
        return [
            Output(topic, *self._place(seen.route), encode(seen))
            for seen in traffic_of(*self._untold.pop(ledger, ({}, Counter(), {})), now_ms)
        ]

    def _place(self, route: str) -> tuple[int, bytes]:
        """Partition and key of a route's records."""
        place = self._places.get(route)
        if place is None:
            key = route.encode()
            place = self._places[route] = partition_of(key, self._route_partitions), key
        return place

    async def tick(self, ledger: Ledger, idle: Mapping[str, Idle]) -> bool:
        """Tell what was served, and sweep one portion of the expired requests, together.

        Parameters
        ----------
        ledger : Ledger
            Of the partition.
        idle : mapping of str to Idle
            How idle each input topic is.

        Returns
        -------
        bool
            Whether more is due at once.
        """
        self.set_aside.tell()
        limit_ms = self._stream_time_ms(ledger.positions, idle) - GRACE_MS
        if not self._sweeps.is_due(ledger, limit_ms):
            traffic = self._traffic(ledger, max(0, limit_ms))
            if traffic:
                await ledger.commit({}, traffic)
            return False
        async with self._sweeps.turn() as has_turn:
            if not has_turn:
                return True
            portion = await self._sweeps.read(ledger, limit_ms)
        await self._sweep(ledger, portion, limit_ms)
        return not portion.is_last

    async def _sweep(self, ledger: Ledger, portion: Portion, limit_ms: int) -> None:
        swept = sweep(portion.entries, limit_ms, self._routes)
        traffic = self._traffic(ledger, max(0, limit_ms)) if portion.is_telling else []
        changes: dict[bytes, bytes | None] = dict.fromkeys(portion.keys)
        changes |= {request_id.encode(): None for request_id in swept.expired}
        changes |= {
            request_id.encode(): encode_entry(entry) for request_id, entry in swept.changed.items()
        }
        changes |= index_changes(swept.expiring, portion.keys[0][2:])
        await ledger.commit(changes, [*self._rewards(swept.rewards), *traffic])
        self._note(ledger, swept.counts, swept.aged, {})

    def _stream_time_ms(self, positions: Positions, idle: Mapping[str, Idle]) -> int:
        """The slower input's time, so that a backlog of labels never finds its predictions gone."""
        wall_ms = time.time_ns() // 1_000_000
        times = []
        for topic in (self._topics.predictions, self._topics.ground_truth):
            seen = positions.times_ms.get(topic, 0)
            is_idle = topic in idle and is_caught_up(idle[topic], positions.offsets.get(topic, 0))
            times.append(max(seen, wall_ms) if is_idle else seen)
        return min(times)


def is_caught_up(idle: Idle, counted: int) -> bool:
    """Whether wall time may move a topic on: it is silent, and nothing of it waits anywhere.

    Parameters
    ----------
    idle : Idle
        Seconds of silence, and how far it is read.
    counted : int
        Next offset to count.

    Returns
    -------
    bool
        False also while the end is not known.
    """
    return idle.seconds >= IDLE_AFTER_S and idle.is_read and idle.fetched <= counted


def own_keys(batches: list[tuple[str, Sequence[Any]]]) -> list[bytes]:
    """Return the keys of records that may have an entry: those that are not the ledger's own.

    Parameters
    ----------
    batches : list of (str, sequence)
        Topic and raw records.

    Returns
    -------
    list of bytes
        In order, with repetitions; never empty ones or such that begin with NUL.
    """
    return [
        record.key for _, records in batches for record in records if record.key and record.key[0]
    ]


def unseen(
    positions: Positions, batches: list[tuple[str, Sequence[Any]]]
) -> tuple[list[tuple[str, Sequence[Any]]], Positions]:
    """Leave out what was counted before a restart; say how far the input is counted after this.

    Parameters
    ----------
    positions : Positions
        How far it was counted.
    batches : list of (str, sequence)
        Topic and raw records, in order.

    Returns
    -------
    tuple of list and Positions
        The records to count, and the positions after them.

    Raises
    ------
    LedgerError
        If new records come with offsets that were counted: the topic was made anew.
    """
    after = Positions(dict(positions.offsets), dict(positions.times_ms))
    fresh = []
    for topic, records in batches:
        counted = after.offsets.get(topic, 0)
        part = (
            records
            if records[0].offset >= counted
            else [record for record in records if record.offset >= counted]
        )
        if len(part) < len(records):
            _refuse_new_topic(topic, records[: len(records) - len(part)], positions)
        if part:
            fresh.append((topic, part))
            after.offsets[topic] = part[-1].offset + 1
            newest = max(record.timestamp for record in part)
            after.times_ms[topic] = max(after.times_ms.get(topic, 0), newest)
    return fresh, after


def _refuse_new_topic(topic: str, seen: Sequence[Any], positions: Positions) -> None:
    """Records that were counted before cannot be newer than the newest that was counted."""
    newest = max(record.timestamp for record in seen)
    if newest > positions.times_ms.get(topic, 0):
        raise LedgerError(
            f"{topic}-{seen[0].partition}: a new record has offset {seen[0].offset}, but "
            f"{positions.offsets[topic]} were counted: the topic was made anew or truncated. Start "
            "under a new [app] id, which begins with empty statistics, or bring the topic back."
        )
