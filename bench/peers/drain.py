"""One contender drains one pair of topics, watched from outside.

The ends of its output topics are looked at 50 times a second, as a read-committed consumer sees
them: watching costs every contender the same small request, whatever its rate. What it wrote is
read only when the rewards are all there.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from bench.peers.contender import Contender, Job, Launcher, Totals
from bench.peers.output import Aggregates, faults, totals_of_rewards
from bench.peers.process import Running, running
from bench.peers.timeline import Moment, Timing, timing
from bench.rig.usage import processor_s, resident_mb

__all__ = ["DrainError", "Drained", "drain_with"]

_LOOK_S: Final = 0.02
_PATIENCE_S: Final = 90.0


class DrainError(Exception):
    """A contender ended, stood still, or wrote something else than it must."""


class Drained(Struct, frozen=True, kw_only=True):
    """What one contender did in one round.

    Attributes
    ----------
    timing : Timing
        How fast it was.
    peak_mb : float
        Peak resident memory; what several processes share is counted for each.
    """

    timing: Timing
    peak_mb: float


class _Watch:
    """Looks at the ends of the output topics until told to stop."""

    def __init__(self, consumer: Any, topics: Sequence[TopicPartition], process: Running) -> None:
        self.moments: list[Moment] = []
        self._consumer = consumer
        self._topics = topics
        self._process = process
        self._moved_s = time.monotonic()

    async def look(self) -> None:
        """Look once; notice when nothing has moved for long."""
        found = await self._consumer.end_offsets(self._topics)
        ends = {(tp.topic, tp.partition): end for tp, end in found.items()}
        now_s = time.monotonic()
        if not self.moments or ends != self.moments[-1].ends:
            self._moved_s = now_s
        self.moments.append(Moment(at_s=now_s, ends=ends, cpu_s=processor_s(self._process.pid)))
        if not self._process.is_running():
            raise DrainError(f"it ended by itself:\n{self._process.last_words()}")
        if now_s - self._moved_s > _PATIENCE_S:
            raise DrainError(
                f"no output for {_PATIENCE_S:.0f} s; ends {ends}:\n{self._process.last_words()}"
            )

    def visible(self, topic: str) -> int:
        """Return how much of a topic can be read."""
        return sum(end for (name, _), end in self.moments[-1].ends.items() if name == topic)


async def drain_with(
    contender: Contender, launcher: Launcher, job: Job, expected: Totals, partitions: int
) -> Drained:
    """Let one contender drain its topics, check its output, and say how fast it was.

    Raises ``DrainError`` if it failed or its output is not what it must be.
    """
    options = {
        "bootstrap_servers": job.servers,
        "isolation_level": "read_committed",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
    }
    tps = [TopicPartition(t, p) for t in (job.rewards, job.aggregates) for p in range(partitions)]
    watching, reading = AIOKafkaConsumer(**options), AIOKafkaConsumer(**options)
    await watching.start()
    await reading.start()
    try:
        began_s = time.monotonic()
        with running(launcher(job), job.folder / "contender.log") as process:
            watch = _Watch(watching, tps, process)
            values, aggregates = await _follow(watch, reading, contender, job, tps)
            await watch.look()
            peak_mb = float(resident_mb(process.pid)["peak"])
    finally:
        await watching.stop()
        await reading.stop()
    requests, rewards = totals_of_rewards(value for _, _, value in values)
    if wrong := faults(expected, requests, rewards, aggregates.totals):
        raise DrainError("its output is not equal: " + "; ".join(wrong[:5]))
    last = {(job.rewards, partition): offset for partition, offset, _ in values}
    result = timing(
        watch.moments,
        began_s=began_s,
        pairs=job.pairs,
        rewards=last,
        aggregates=aggregates.last_changes,
    )
    return Drained(timing=result, peak_mb=peak_mb)


async def _follow(
    watch: _Watch, reading: Any, contender: Contender, job: Job, tps: Sequence[TopicPartition]
) -> tuple[list[tuple[int, int, bytes]], Aggregates]:
    """Wait until the rewards can all be visible, then read until everything was read."""
    await watch.look()
    while watch.visible(job.rewards) < job.pairs:
        await asyncio.sleep(_LOOK_S)
        await watch.look()
    looking = asyncio.create_task(_look_on(watch))
    values: list[tuple[int, int, bytes]] = []
    aggregates = Aggregates(contender.read_totals)
    reading.assign(tps)
    try:
        while len(values) < job.pairs or aggregates.count < job.pairs:
            for tp, records in (await reading.getmany(timeout_ms=20)).items():
                if tp.topic == job.rewards:
                    values += [(tp.partition, record.offset, record.value) for record in records]
                else:
                    for record in records:
                        aggregates.take(record)
            if looking.done():
                looking.result()
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError, DrainError):
            await looking
    return values, aggregates


async def _look_on(watch: _Watch) -> None:
    while True:
        await watch.look()
        await asyncio.sleep(_LOOK_S)
