"""One deployment, measured: a backlog of pairs, drained, then an open loop at a modest rate.

Before, every arm of every route gets one label: what it costs to register an arm is told apart.
The backlog is written at once to workers that wait for it, so that all of its cost is counted, the
broker's for taking it in too, and nothing of a start or a rebalance.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer, TopicPartition

from bench.growth.shapes import Shape, backlog, environment_of, made_pairs
from bench.rig.arrivals import Arrivals
from bench.rig.deployment import Deployment
from bench.rig.drain import bench_settings
from bench.rig.filling import predictions, reader, until_taken
from bench.rig.load import LAG, preload, produce_at, staggered
from bench.rig.servers import BenchBroker
from bench.rig.turns import turn
from bench.rig.usage import resident_mb, stored_bytes
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["Load", "Point", "grown"]

_FILL: Final = 1_000_000
_WARM_UP_S: Final = 2.0
_LAST_S: Final = 20.0
_FIRST: Final = 1 << 39
_LIVE: Final = 1 << 40
"""Numbers of the first request that registers an arm, and of the open loop's."""
_NEW_ARMS: Final = 200


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment is given.

    Attributes
    ----------
    pairs : int
        Drained.
    rate : float
        Of the open loop, events a second, two for each pair.
    seconds : float
        Of the open loop, beside its warm-up.
    lock : Path, optional
        Held meanwhile.
    """

    pairs: int
    rate: float
    seconds: float
    lock: Path | None = None


class Point(msgspec.Struct, kw_only=True):
    """What one deployment gave. An event is a prediction or a label.

    Attributes
    ----------
    shape : Shape
        Its size.
    events_per_s : float
        From the begin of the backlog's writing until its last reward is visible and learned from.
    worker_us, broker_us : float
        Processor time meanwhile, microseconds an event; of all workers together, and of the
        broker (nan when another's).
    peak_mb : int
        Resident memory, of all workers together.
    store_bytes : float
        RocksDB, bytes an entry; an entry is a request, waiting or with its reward.
    topic_bytes : dict of str to float
        Bytes an event, by topic, over drain and open loop; empty when the broker is another's.
    latency_ms : dict of str to list of float
        Median and 99th percentile by kind, in the open loop.
    seen : dict of str to int
        How many there were.
    live_us, live_broker_us : float
        As ``worker_us`` and ``broker_us``, in the open loop, whose micro-batches are small.
    new_arm_ms : float
        Processor time of the workers for an arm that has its first label, before the drain.
    others_cores, live_others_cores : float
        Cores that processes without a part in this took meanwhile, in the drain and the open loop.
    """

    shape: Shape
    events_per_s: float = 0.0
    worker_us: float = 0.0
    broker_us: float = 0.0
    peak_mb: int = 0
    store_bytes: float = 0.0
    topic_bytes: dict[str, float] = {}
    latency_ms: dict[str, list[float]] = {}
    seen: dict[str, int] = {}
    live_us: float = 0.0
    live_broker_us: float = 0.0
    new_arm_ms: float = 0.0
    others_cores: float = 0.0
    live_others_cores: float = 0.0


async def grown(broker: BenchBroker, shape: Shape, load: Load) -> Point:
    """Measure one deployment on topics of its own.

    Raises ``RuntimeError`` if a worker ends or stands still.
    """
    point = Point(shape=shape)
    with tempfile.TemporaryDirectory(prefix="leverframe-growth-") as named:
        folder = Path(named)
        settings, environment = bench_settings(
            broker.servers, folder / "data", **environment_of(shape)
        )
        (folder / "data").mkdir()
        await create_topics(settings.broker, settings.declared_topics(), 1)
        running = Deployment(broker, settings, folder)
        if shape.waiting:
            await _fill(running, environment, shape, load)
        names = settings.topic_names
        tps = [
            TopicPartition(topic, at)
            for topic in (names.rewards, names.control, names.learning_changelog)
            for at in range(shape.route_partitions)
        ]
        async with reader(settings, fetch_max_wait_ms=5) as consumer:
            consumer.assign(tps)
            with turn(load.lock), ExitStack() as stack:
                running.start(stack, environment, shape.workers)
                arrivals = Arrivals(names)
                await running.until_ready()
                await _register(running, consumer, arrivals, point)
                await _drain(running, consumer, arrivals, load.pairs, point)
                await _open_loop(running, consumer, arrivals, load, point)
                point.peak_mb = sum(resident_mb(pid)["peak"] for pid in running.pids())
        _weigh(running, load, point)
        return point


async def _fill(running: Deployment, environment: dict[str, str], shape: Shape, load: Load) -> None:
    """Give a worker predictions that wait; others may have their turn now and then."""
    settings, topic = running.settings, running.settings.topic_names.predictions
    with ExitStack() as stack:
        with turn(load.lock):
            running.start(stack, environment, 1)
            await asyncio.sleep(1)
        for begin in range(0, shape.waiting, _FILL):
            end = min(begin + _FILL, shape.waiting)
            with turn(load.lock):
                records = predictions(begin, end, "waits")
                await preload(settings.broker.servers, topic, shape.partitions, records)
                await until_taken(settings, topic, end, *running.workers[0])


async def _register(running: Deployment, consumer: Any, arrivals: Arrivals, point: Point) -> None:
    """Let every arm of every route have a label, few at a time, until all are in force."""
    topics, shape, began = running.settings.topic_names, point.shape, running.spent_s()
    servers, total = running.settings.broker.servers, shape.arms * shape.routes
    since_s, sent = time.monotonic(), 0
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for prediction, label in made_pairs(shape, _FIRST, _FIRST + total):
            await producer.send(topics.predictions, prediction[1], key=prediction[0])
            await producer.send(topics.ground_truth, label[1], key=label[0])
            sent += 1
            most = 0 if sent == total else _NEW_ARMS
            while sent - (known := sum(arrivals.arms.values())) > most:
                for tp, records in (await consumer.getmany(timeout_ms=20)).items():
                    arrivals.take(tp.topic, records, 0.0)
                since_s = time.monotonic() if sum(arrivals.arms.values()) > known else since_s
                running.check(since_s)
    finally:
        await producer.stop()
    point.new_arm_ms = round(1e3 * float((running.spent_s() - began)[1]) / total, 3)


async def _drain(
    running: Deployment, consumer: Any, arrivals: Arrivals, pairs: int, point: Point
) -> None:
    """Write the pairs as fast as the broker takes them; count until all is learned."""
    servers = running.settings.broker.servers
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=256 << 10, acks=1)
    await producer.start()
    try:
        batches = list(backlog(producer, running.settings.topic_names, point.shape, pairs))
        began = running.spent_s()
        writing = asyncio.gather(
            *[await producer.send_batch(batch, topic, partition=at) for topic, at, batch in batches]
        )
        since_s, wanted = time.monotonic(), arrivals.rewards + pairs
        while arrivals.rewards < wanted or not arrivals.are_learned:
            before = arrivals.progress
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                arrivals.take(tp.topic, records, 0.0)
            since_s = time.monotonic() if arrivals.progress > before else since_s
            running.check(since_s)
        wall_s, workers_s, broker_s, others_s = map(float, running.spent_s() - began)
        await writing
    finally:
        await producer.stop()
    point.events_per_s = round(2 * pairs / wall_s)
    point.worker_us = round(1e6 * workers_s / (2 * pairs), 1)
    point.broker_us = round(1e6 * broker_s / (2 * pairs), 1)
    point.others_cores = round(others_s / wall_s, 2)


async def _open_loop(
    running: Deployment, consumer: Any, arrivals: Arrivals, load: Load, point: Point
) -> None:
    """Send pairs of new routes at their due times; note latencies after a warm-up."""
    topics = running.settings.topic_names
    names = (topics.predictions, topics.ground_truth)
    count = int(load.rate / 2 * (load.seconds + _WARM_UP_S))
    records = staggered(names, made_pairs(point.shape, _LIVE, _LIVE + count, half_fresh=True))
    arrivals.from_ms = (time.time() + _WARM_UP_S) * 1000
    wanted = arrivals.rewards + count - LAG
    following = asyncio.create_task(arrivals.follow(consumer))
    try:
        began = running.spent_s()
        sent = await produce_at(running.settings.broker.servers, records, load.rate)
        spent = running.spent_s() - began
        deadline_s = time.monotonic() + _LAST_S
        while time.monotonic() < deadline_s and not following.done():
            await asyncio.sleep(0.1)
            if arrivals.rewards >= wanted and arrivals.are_learned:
                break
        if following.done():
            following.result()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    running.check(time.monotonic())
    point.live_us, point.live_broker_us = (
        round(1e6 * float(each) / sent, 1) for each in spent[1:3]
    )
    point.live_others_cores = round(float(spent[3] / spent[0]), 2)
    for kind, values in arrivals.found.items():
        point.seen = {**point.seen, kind: len(values)}
        if values:
            quantiles = [round(float(q), 1) for q in np.percentile(values, [50, 99])]
            point.latency_ms = {**point.latency_ms, kind: quantiles}


def _weigh(running: Deployment, load: Load, point: Point) -> None:
    """Look at what lies on disk when the workers have ended."""
    live = int(load.rate / 2 * (load.seconds + _WARM_UP_S))
    pairs = load.pairs + live + point.shape.arms * point.shape.routes
    stores: Sequence[Path] = sorted((running.folder / "data").glob("*/*/attribution"))
    stored = sum(map(stored_bytes, stores))
    point.store_bytes = round(stored / (pairs + point.shape.waiting), 1)
    if running.broker.folder is None:
        return
    prefix = running.settings.topic_names.prefix
    found: dict[str, int] = {}
    for path in running.broker.folder.glob(f"**/{prefix}*/*.log"):
        topic = path.parent.name.removeprefix(prefix).rpartition("-")[0]
        found[topic] = found.get(topic, 0) + path.stat().st_size
    events = 2 * pairs + point.shape.waiting
    point.topic_bytes = {name: round(size / events, 1) for name, size in sorted(found.items())}
