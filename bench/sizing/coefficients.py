"""What an event costs, from what ``bench.growth`` and ``bench.starting`` measured. Pure."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from bench.growth.measure import Point
from bench.growth.results import Growth
from bench.growth.route_costs import batch_labels, per_touch
from bench.growth.shapes import BASE

__all__ = ["WAITING_FREE", "Coefficients", "fitted"]

WAITING_FREE: Final = 100_000.0


class Coefficients(msgspec.Struct, frozen=True, kw_only=True):
    """What an event costs, from measurements. An event is a prediction or a label.

    Attributes
    ----------
    worker_us : float
        Processor time of the worker, microseconds an event, at the base of ``bench.growth.shapes``.
    worker_us_per_kb, worker_us_per_arm, worker_us_per_doubling : float
        More for each kB of a prediction beyond the base's, each arm of a route beyond it, and
        each doubling of a worker's waiting predictions beyond ``waiting_free``.
    waiting_free : float
        Waiting predictions of a worker that cost nothing more.
    batch_labels : float
        Of a micro-batch under load.
    worker_us_per_touch, broker_us_per_touch, bytes_per_touch : float
        More for each route that a micro-batch touches, beyond the routes of the base: microseconds
        of the worker and of the broker, bytes written to topics.
    learning_us : float
        Of it, learning: microseconds a label.
    light_cores : float
        Least use of a worker process with four partitions that has anything to do: its
        micro-batches, and so its transactions, are then small and many. Under load they grow.
    route_cores : float
        Of the worker, for a route that is merely there: heartbeats.
    broker_us, broker_us_per_kb : float
        As ``worker_us``, of the broker that leads all partitions.
    broker_light_cores : float
        Of the broker, for such a worker process.
    input_bytes, changelog_bytes, output_bytes, learning_bytes : float
        Written to topics, bytes an event: predictions and labels at the base; the join's
        changelog; rewards and the rest; the changelog of learning.
    bytes_per_arm : float
        More for each arm of a route beyond the base's, in the changelog of learning.
    store_bytes : float
        RocksDB, bytes a waiting prediction.
    restored_per_s : float
        Entries a second that one worker restores after the loss of its disk.
    start_s : float
        From a process's start to its first decision, nothing to restore.
    """

    worker_us: float
    worker_us_per_kb: float
    worker_us_per_arm: float
    worker_us_per_doubling: float
    waiting_free: float
    batch_labels: float
    worker_us_per_touch: float
    broker_us_per_touch: float
    bytes_per_touch: float
    learning_us: float
    light_cores: float
    route_cores: float
    broker_us: float
    broker_us_per_kb: float
    broker_light_cores: float
    input_bytes: float
    changelog_bytes: float
    output_bytes: float
    learning_bytes: float
    bytes_per_arm: float
    store_bytes: float
    restored_per_s: float
    start_s: float


def fitted(growth: Growth, starting: Mapping[str, Any]) -> Coefficients:
    """Fit the coefficients: medians at the base, straight lines through it along the axes."""
    rate = growth.load.rate

    def base(value: Callable[[Point], float]) -> float:
        axes = {m.axis for m in growth.measured}
        points = (p for axis in axes for p in growth.points(axis, getattr(BASE, axis)))
        return statistics.median(map(value, points))

    def topics(*names: str) -> float:
        return base(
            lambda p: math.fsum(b for name, b in p.topic_bytes.items() if name.endswith(names))
        )

    inputs = topics("predictions", "ground-truth")
    changelog, learning = topics("attribution-changelog"), topics("learning-changelog")
    most = max(growth.sizes("waiting"))
    lost = starting["lost"]
    labels = batch_labels(growth, lambda p: p.worker_us)
    return Coefficients(
        worker_us=base(lambda p: p.worker_us),
        worker_us_per_kb=slope(growth, "value", lambda p: p.worker_us, lambda at: at / 1000),
        worker_us_per_arm=slope(growth, "arms", lambda p: p.worker_us),
        worker_us_per_doubling=slope(
            growth,
            "waiting",
            lambda p: p.worker_us,
            lambda at: math.log2(max(at, WAITING_FREE) / WAITING_FREE),
        ),
        waiting_free=WAITING_FREE,
        batch_labels=labels,
        worker_us_per_touch=per_touch(growth, lambda p: p.worker_us, labels),
        broker_us_per_touch=per_touch(growth, lambda p: p.broker_us, labels),
        bytes_per_touch=per_touch(growth, topic_bytes, labels),
        learning_us=statistics.median(growth.learning_us),
        light_cores=base(lambda p: p.live_us) * rate / 1e6,
        route_cores=max(0.0, slope(growth, "routes", lambda p: p.live_us * rate / 1e6)),
        broker_us=base(lambda p: p.broker_us),
        broker_us_per_kb=slope(growth, "value", lambda p: p.broker_us, lambda at: at / 1000),
        broker_light_cores=base(lambda p: p.live_broker_us) * rate / 1e6,
        input_bytes=inputs,
        changelog_bytes=changelog,
        output_bytes=topics("rewards", "control", "traffic", "commands", "dead-letters"),
        learning_bytes=learning,
        bytes_per_arm=slope(
            growth, "arms", lambda p: topic_bytes(p) - p.topic_bytes.get("predictions", 0.0)
        ),
        store_bytes=growth.median("waiting", most, "store_bytes"),
        restored_per_s=lost["entries"] / lost["restore_s"],
        start_s=starting["kept"]["first_s"],
    )


def topic_bytes(point: Point) -> float:
    """Return bytes an event on all topics."""
    return math.fsum(point.topic_bytes.values())


def slope(
    growth: Growth,
    axis: str,
    value: Callable[[Point], float],
    x: Callable[[float], float] = float,
) -> float:
    """Fit a line through the base by least squares of the medians.

    More for each 1 of ``x``; 0 where nothing but the base was measured.
    """
    medians = {
        x(at): statistics.median(map(value, points))
        for at in growth.sizes(axis)
        if (points := growth.points(axis, at))
    }
    begin = x(getattr(BASE, axis))
    over = sum((at - begin) * (y - medians[begin]) for at, y in medians.items())
    under = sum((at - begin) ** 2 for at in medians)
    return over / under if under else 0.0
