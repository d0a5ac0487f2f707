"""How long a label takes to its reward, control message and rollback: ``python -m bench.latency``.

Open loop: labels are sent at their due times whatever was answered before, so a stall shows in
every label that it delayed. Half of the labels are of ten steady routes; the other half are of
routes one of whose arms is bad, one route after another, each until well after its rollback. A
control message carries the record time of the label that decided it, a reward that of its label;
the latency is the arrival at a read-committed consumer, and for rollbacks the subscriber's
callback, minus that time. Work begins after a warm-up: a Java machine just started is slow.
With ``--peers``, the same load also goes through Kafka Streams: see ``bench.peers.latency``.
"""

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer

from bench.peers.latency import COMMIT_MS, measure_streams
from bench.rig.arrivals import Arrivals
from bench.rig.drain import bench_settings, start_worker
from bench.rig.load import Keyed, produce_at, staggered
from bench.rig.servers import bench_broker
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.runtime.topic_admin import create_topics

_WARM_UP_S = 20.0
_PAIRS_PER_ROUTE = 120
_STEADY_ROUTES = 10
Pair = tuple[Prediction, GroundTruth]


def scene(count: int, seed: int = 3) -> Iterator[Pair]:
    """Yield pairs, half of steady routes and half of routes with a bad arm."""
    luck = np.random.default_rng(seed).random(count).tolist()
    for i in range(count):
        at, is_steady = i // 2, i % 2 == 0
        route = f"steady-{at % _STEADY_ROUTES}" if is_steady else f"breaks-{at // _PAIRS_PER_ROUTE}"
        turn = at // _STEADY_ROUTES if is_steady else at
        is_bad = turn % 2 == 1 and not is_steady
        prediction = Prediction(
            request_id=f"q{i}", route=route, arm=f"arm-{turn % 2}", prediction=1, propensity=0.5
        )
        label = int(luck[i] < (0.1 if is_bad else 0.9))
        yield prediction, GroundTruth(request_id=f"q{i}", label=label)


def alternating(topics: tuple[str, str], pairs: Iterable[Pair]) -> Iterator[tuple[str, Keyed]]:
    """Yield predictions, each followed ``LAG`` pairs later by its label."""
    made = (
        (
            (prediction.request_id.encode(), encode(prediction)),
            (label.request_id.encode(), encode(label)),
        )
        for prediction, label in pairs
    )
    return staggered(topics, made)


async def measure(
    servers: str,
    per_second: float,
    seconds: float,
    pairs: Callable[[int], Iterable[Pair]] = scene,
    routes: str = "",
    **overrides: str,
) -> dict[str, np.ndarray]:
    """Return latencies in ms: of rewards, of what a label decided, and of rollbacks applied.

    ``pairs`` makes so many, ``routes`` is how the names of those begin that are looked at.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings, environment = bench_settings(servers, Path(folder), **overrides)
        topics = settings.topic_names
        await create_topics(settings.broker, settings.declared_topics(), 1)
        log = Path(folder) / "worker.log"
        worker = start_worker(environment, log)
        consumer = AIOKafkaConsumer(
            topics.rewards,
            topics.control,
            bootstrap_servers=servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=5,
        )
        await consumer.start()
        arrivals, rollbacks = Arrivals(topics, routes), list[float]()

        def rolled_back(message: ControlMessage) -> None:
            if message.issued_at_ms >= arrivals.from_ms:
                rollbacks.append(time.time() * 1000 - message.issued_at_ms)

        try:
            while "attribution-0: open" not in await asyncio.to_thread(log.read_text):
                await asyncio.sleep(0.1)
            arrivals.from_ms = (time.time() + _WARM_UP_S) * 1000
            following = asyncio.create_task(arrivals.follow(consumer))
            count = int(per_second / 2 * (seconds + _WARM_UP_S))
            names = (topics.predictions, topics.ground_truth)
            async with Subscriber(servers, control=topics.control, on_rollback=rolled_back):
                await produce_at(servers, alternating(names, pairs(count)), per_second)
                await asyncio.sleep(1)
            following.cancel()
            found = {**arrivals.found, "rollback": rollbacks}
            return {kind: np.array(values) for kind, values in found.items()}
        finally:
            await consumer.stop()
            worker.terminate()
            await asyncio.to_thread(worker.wait, 30)


def report(who: str, rate: float, latencies: Mapping[str, np.ndarray]) -> None:
    """Print percentiles of each kind of latency."""
    for kind, values in latencies.items():
        if not len(values):
            print(f"{who}, {rate:,.0f} events/s, label to {kind}: none seen")
            continue
        p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
        print(
            f"{who}, {rate:,.0f} events/s, label to {kind}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"p99.9 {p999:.0f} ms ({len(values):,} seen)",
            flush=True,
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=[1000.0, 5000.0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--peers", action="store_true", help="Kafka Streams, exactly once, too")
    parser.add_argument("--rounds", type=int, default=1, help="in turn: the first warms the broker")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    with bench_broker() as servers:
        for rate in options.rate * options.rounds:
            report("ours", rate, asyncio.run(measure(servers, rate, options.seconds)))
            for commit_ms in COMMIT_MS if options.peers else ():
                count = int(rate / 2 * (options.seconds + _WARM_UP_S))
                load = alternating(("predictions", "labels"), scene(count))
                found = measure_streams(servers, load, rate, _WARM_UP_S, commit_ms)
                report(f"Kafka Streams, commit {commit_ms} ms", rate, asyncio.run(found))


if __name__ == "__main__":
    main()
