"""What a sweep of many expired requests does to the labels meanwhile: ``python -m bench.sweep``.

``--count`` predictions without labels bear one record time, so all of them expire at once, the
hardest case. Meanwhile pairs come open-loop, at their due times whatever was answered before, so a
stall shows in every label that it delayed. The latency is from a label's record time to its
reward's arrival at a read-committed consumer; labels written before the sweep began and during it
are told apart. The sweep ends with the tick that tells the last of the orphans.
"""

import argparse
import asyncio
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.rig.drain import bench_settings
from bench.rig.filling import check, labels, predictions, reader, running_worker, until_taken
from bench.rig.load import Keyed, preload, produce_at
from bench.rig.servers import bench_broker
from leverframe.agents.settings import Settings
from leverframe.agents.worker.attribution import GRACE_MS
from leverframe.schemas.codec import decoder
from leverframe.schemas.reward import Reward
from leverframe.schemas.traffic import Traffic
from leverframe.streams.runtime.topic_admin import create_topics

_WARM_UP_S = 15.0
_BEFORE_S = 20.0
_AFTER_S = 5.0
_LAG = 100
_STEADY = 1 << 40
"""Number of the first request that gets a label; the others have smaller ones."""


def steady(settings: Settings, ended: threading.Event) -> Iterator[tuple[str, Keyed]]:
    """Yield predictions, each followed ``_LAG`` pairs later by its label, until told to end."""
    topics = settings.topic_names
    for number in itertools.count():
        if ended.is_set():
            return
        at = _STEADY + number
        yield topics.predictions, next(predictions(at, at + 1, "steady"))
        if number >= _LAG:
            yield topics.ground_truth, next(labels(at - _LAG, at - _LAG + 1))


class Follower:
    """Collects rewards with their latencies, and counts orphans as the worker tells them."""

    def __init__(self) -> None:
        self.latencies: list[tuple[int, float]] = []
        self.orphans = 0
        self._reward, self._traffic = decoder(Reward), decoder(Traffic)

    async def follow(self, consumer: Any, rewards: str) -> None:
        """Read until cancelled."""
        while True:
            fetched = await consumer.getmany(timeout_ms=100)
            now_ms = time.time() * 1000
            for tp, records in fetched.items():
                if tp.topic == rewards:
                    times = [self._reward(record.value).attributed_at_ms for record in records]
                    self.latencies += [(at_ms, now_ms - at_ms) for at_ms in times]
                else:
                    joins = [self._traffic(record.value).joins for record in records]
                    self.orphans += sum(told.get("orphan_prediction", 0) for told in joins)

    def between(self, begin_ms: float, end_ms: float) -> np.ndarray:
        """Return latencies of the labels of a time span."""
        return np.array([ms for at_ms, ms in self.latencies if begin_ms <= at_ms < end_ms])


async def measure(servers: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return latencies before, during and after the sweep, and how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "worker.log"
        window = {"LEVERFRAME_ROUTES__*__WINDOW_S": str(options.window)}
        settings, environment = bench_settings(servers, Path(folder) / "data", **window)
        topics = settings.topic_names
        await create_topics(settings.broker, settings.declared_topics(), 1)
        follower, ended = Follower(), threading.Event()
        async with reader(settings, fetch_max_wait_ms=5) as consumer:
            consumer.subscribe([topics.rewards, topics.traffic])
            with running_worker(environment, log) as worker:
                burst_ms = time.time_ns() // 1_000_000
                await preload(
                    servers,
                    topics.predictions,
                    settings.topics.partitions,
                    predictions(0, options.count, "burst"),
                    itertools.repeat(burst_ms),
                )
                await until_taken(settings, topics.predictions, options.count, worker, log)
                begin_ms = burst_ms + options.window * 1000 + GRACE_MS
                before_ms = begin_ms - _BEFORE_S * 1000
                if time.time() * 1000 > before_ms - _WARM_UP_S * 1000:
                    raise RuntimeError("the burst was taken too late: give a longer --window")
                following = asyncio.create_task(follower.follow(consumer, topics.rewards))
                await asyncio.sleep(before_ms / 1000 - _WARM_UP_S - time.time())
                producing = asyncio.create_task(
                    asyncio.to_thread(
                        lambda: asyncio.run(
                            produce_at(servers, steady(settings, ended), options.rate)
                        )
                    )
                )
                try:
                    since_s = time.monotonic()
                    while follower.orphans < options.count:
                        await asyncio.sleep(0.05)
                        check(worker, log, since_s, 10 * options.window)
                    end_ms = time.time() * 1000
                    await asyncio.sleep(_AFTER_S)
                finally:
                    ended.set()
                    await producing
                    following.cancel()
    return {
        "seconds": (end_ms - begin_ms) / 1000,
        "before": follower.between(before_ms, begin_ms),
        "during": follower.between(begin_ms, end_ms),
        "after": follower.between(end_ms, end_ms + _AFTER_S * 1000),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="predictions that expire")
    parser.add_argument("--window", type=float, default=120.0, help="attribution window, seconds")
    parser.add_argument("--rate", type=float, default=4000.0, help="events a second meanwhile")
    options = parser.parse_args()
    with bench_broker() as servers:
        found = asyncio.run(measure(servers, options))
    seconds = found.pop("seconds")
    print(
        f"{options.count:,} requests expired at once and were swept in {seconds:.1f} s, "
        f"{options.count / seconds:,.0f} a second, beside {options.rate:,.0f} events/s"
    )
    for phase, values in found.items():
        p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
        print(
            f"label to reward {phase} the sweep: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"p99.9 {p999:.0f} ms, longest {values.max():.0f} ms ({len(values):,} labels)"
        )


if __name__ == "__main__":
    main()
