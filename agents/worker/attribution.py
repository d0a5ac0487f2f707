"""The shell of ``streams.attribution.step``: fetch entries, step, commit."""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from leverframe.agents.settings import Settings
from leverframe.agents.telemetry.traces import RewardTraces, TracedRewards
from leverframe.agents.worker.event_log import DeadLetterLog, QuotaLog
from leverframe.agents.worker.in_their_words import InTheirWords
from leverframe.agents.worker.inputs import Inputs
from leverframe.agents.worker.outputs import dead_letter_output
from leverframe.agents.worker.sweep import DueReader, Portion, Turn
from leverframe.schemas.codec import encode, encode_reward
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.measurements import METRICS_KEY
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.expiry import index_changes, sweep
from leverframe.streams.attribution.measured import Measurement, records_of
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.placement import check_placement
from leverframe.streams.attribution.quota import Bucket, Quota
from leverframe.streams.attribution.sharing import LabelSource
from leverframe.streams.attribution.step import attribute
from leverframe.streams.attribution.traffic import (
    AgedTally,
    ServedTally,
    merge,
    merge_ages,
    traffic_of,
)
from leverframe.streams.attribution.units import NewUnits
from leverframe.streams.routes.route import RouteTable
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.ledger import Ledger, Output, Positions
from leverframe.streams.runtime.partition import Idle
from leverframe.streams.runtime.runs import Run, own_keys, unseen

__all__ = ["AttributionShell", "AttributionWork"]

# A producer's clock may lag behind another's by this much before its records count as late.
GRACE_MS: Final = 5_000
IDLE_AFTER_S: Final = 5.0
_UNIQUE: Final = struct.Struct(">cQ")


class AttributionShell:
    """What all partitions of ``predictions`` and ``ground-truth`` on a worker share."""

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        inputs: Inputs,
        in_their_words: InTheirWords | None = None,
        traces: RewardTraces | None = None,
    ) -> None:
        self.inputs = inputs
        self.in_their_words = in_their_words
        self.traces = traces
        self.topics = settings.topic_names
        self.routes = routes
        self.max_value_bytes = settings.app.max_value_bytes
        self.set_aside = DeadLetterLog()
        self.over_quota = QuotaLog()
        self.turn = Turn()
        self.route_partitions = settings.topics.route_partitions
        self.partitions = settings.topics.partitions
        self._targets: dict[str, tuple[int, bytes]] = {}

    def begin(self, ledger: Ledger) -> "AttributionWork":
        """Begin the work on a partition whose ledger is open."""
        return AttributionWork(self, ledger)

    def target(self, route: str) -> tuple[int, bytes]:
        """Return partition and key of a route's records."""
        target = self._targets.get(route)
        if target is None:
            key = route.encode()
            target = self._targets[route] = partition_of(key, self.route_partitions), key
        return target


class AttributionWork:
    """Joins the micro-batches of one partition, and sweeps what has expired."""

    def __init__(self, shell: AttributionShell, ledger: Ledger) -> None:
        self._shell = shell
        self._ledger = ledger
        self._due = DueReader(ledger)
        # Since the last tick. Not worth a ledger entry: a killed worker loses a second of counts.
        self._served: ServedTally = {}
        self._joins: Counter[tuple[str, str, str]] = Counter()
        self._aged: AgedTally = {}
        self._units = NewUnits()
        # Full again after a restart: no worker counts less because another one died.
        self._buckets: dict[str, Bucket] = {}

    async def handle(self, runs: list[Run]) -> "asyncio.Future[None] | None":
        """Join one micro-batch and begin to make it durable."""
        now_ms = time.time_ns() // 1_000_000
        fresh, positions = unseen(self._ledger.positions, runs, now_ms)
        if not fresh:
            return None
        self._shell.inputs.note_gaps(self._ledger, fresh)
        topics = self._shell.topics
        traced = self._traced(fresh)
        # No reward depends on it, and a label that finds its prediction costs one step, not two.
        fresh.sort(key=lambda run: run.topic != topics.predictions)
        keys = own_keys(fresh)
        found = zip(keys, self._ledger.get_many(keys), strict=True)
        entries = {key.decode(): decode_entry(raw) for key, raw in found if raw is not None}
        outcome = attribute(
            [(run.topic == topics.predictions, run.records) for run in fresh],
            entries,
            self._shell.routes,
            max_value_bytes=self._shell.max_value_bytes,
            label_topic=topics.ground_truth,
            quota=(quota := Quota(self._buckets, self._shell.partitions, now_ms)),
        )
        changes: dict[bytes, bytes | None] = {
            request_id.encode(): encode_entry(entry)
            for request_id, entry in outcome.entries.items()
        }
        initial = b"p" if fresh[0].topic == topics.predictions else b"g"
        unique = _UNIQUE.pack(initial, fresh[0].records[0].offset)
        changes |= index_changes(outcome.expiring, unique)
        outputs = [*self._measured(outcome.measured), *self._rewards(outcome.rewards, traced)]
        outputs += self._letters(outcome.dead_letters)
        durable = await self._ledger.begin_commit(changes, outputs, positions)
        if traced is not None:
            traced.end_with(durable)
        self._buckets = quota.buckets
        self._shell.set_aside.note(outcome.dead_letters)
        self._shell.over_quota.note(outcome.counts)
        merge(self._served, outcome.served)
        self._units.take(outcome.units)
        self._note(outcome.counts, outcome.aged)
        return durable

    def _traced(self, fresh: Iterable[Run] = ()) -> TracedRewards | None:
        traces = self._shell.traces
        return None if traces is None else traces.begin(fresh, self._shell.topics.predictions)

    def _rewards(self, rewards: Iterable[Reward], traced: TracedRewards | None) -> list[Output]:
        topic, target = self._shell.topics.rewards, self._shell.target
        headers = None if traced is None else traced.headers
        told = self._shell.in_their_words
        if told is not None:
            return told.rewards(rewards, target, headers)
        if headers is None:
            return [Output(topic, *target(one.route), encode_reward(one)) for one in rewards]
        return [
            Output(topic, *target(one.route), encode_reward(one), headers(one)) for one in rewards
        ]

    def _letters(self, letters: Iterable[DeadLetter]) -> list[Output]:
        topic, partitions = self._shell.topics.dead_letters, self._shell.route_partitions
        return [dead_letter_output(letter, topic, partitions) for letter in letters]

    def _measured(self, measured: Iterable[Measurement]) -> Iterator[Output]:
        """What predictions measured lies among rewards, under keys of its own."""
        topic, target = self._shell.topics.rewards, self._shell.target
        for record in records_of(measured):
            partition, key = target(record.route)
            yield Output(topic, partition, METRICS_KEY + key, encode(record))

    def _note(self, joins: Mapping[tuple[str, str, str], int], aged: AgedTally) -> None:
        self._joins.update(joins)
        merge_ages(self._aged, aged)

    def _take_traffic(self, now_ms: int) -> list[Output]:
        """Give out what happened since the last time, for the closed loop, and begin anew."""
        seen = traffic_of(self._served, self._joins, self._aged, now_ms, self._units.give())
        self._served, self._joins, self._aged = {}, Counter(), {}
        topic, target = self._shell.topics.traffic, self._shell.target
        return [Output(topic, *target(record.route), encode(record)) for record in seen]

    async def tick(self, idle: Mapping[str, Idle]) -> bool:
        """Publish what was served, and sweep a portion of the expired requests, together."""
        self._shell.set_aside.write_if_due()
        self._shell.over_quota.write_if_due()
        limit_ms = self._stream_time_ms(idle) - GRACE_MS
        if not self._due.is_due(limit_ms):
            traffic = self._take_traffic(max(0, limit_ms))
            if traffic:
                await self._ledger.commit({}, traffic)
            return False
        async with self._shell.turn.take() as has_turn:
            if not has_turn:
                return True
            portion = await self._due.read(limit_ms)
        await self._sweep(portion, limit_ms)
        return not portion.is_last

    async def _sweep(self, portion: Portion, limit_ms: int) -> None:
        source = LabelSource(self._shell.topics.ground_truth, self._ledger.partition)
        swept = sweep(portion.entries, limit_ms, self._shell.routes, source)
        check_placement(portion.entries, swept, self._is_misplaced)
        traffic = self._take_traffic(max(0, limit_ms)) if portion.has_traffic else []
        changes: dict[bytes, bytes | None] = dict.fromkeys(portion.keys)
        changes |= {request_id.encode(): None for request_id in swept.expired}
        changes |= {
            request_id.encode(): encode_entry(entry) for request_id, entry in swept.changed.items()
        }
        changes |= index_changes(swept.expiring, portion.keys[0][2:])
        traced = self._traced()
        rewards = self._rewards(swept.rewards, traced)
        outputs = [*self._measured(swept.measured), *rewards, *traffic]
        letters = self._letters(swept.dead_letters)
        durable = await self._ledger.begin_commit(changes, outputs + letters)
        if traced is not None:
            traced.end_with(durable)
        await durable
        self._shell.set_aside.note(swept.dead_letters)
        self._note(swept.counts, swept.aged)

    def _is_misplaced(self, request_id: str) -> bool:
        """Whether Kafka's default partitioner would have put a request elsewhere."""
        home = partition_of(request_id.encode(), self._shell.partitions)
        return home != self._ledger.partition

    def _stream_time_ms(self, idle: Mapping[str, Idle]) -> int:
        """The slower input's time, so that a backlog of labels never finds its predictions gone."""
        topics = self._shell.topics
        return stream_time_ms(
            (topics.predictions, topics.ground_truth), self._ledger.positions, idle
        )


def stream_time_ms(topics: Sequence[str], positions: Positions, idle: Mapping[str, Idle]) -> int:
    """Return the time of the slowest of several inputs; wall time moves a silent one on."""
    wall_ms = time.time_ns() // 1_000_000
    times = []
    for topic in topics:
        seen = positions.times_ms.get(topic, 0)
        is_idle = topic in idle and is_caught_up(idle[topic], positions.offsets.get(topic, 0))
        times.append(max(seen, wall_ms) if is_idle else seen)
    return min(times)


def is_caught_up(idle: Idle, counted: int) -> bool:
    """Whether wall time may move a topic on: it is silent, and nothing of it waits anywhere.

    ``counted`` is the next offset to count. False also while the end is not known.
    """
    return idle.seconds >= IDLE_AFTER_S and idle.is_read and idle.fetched <= counted
