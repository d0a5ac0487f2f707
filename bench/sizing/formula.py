"""What a rate of events needs: cores, disk, brokers. Pure arithmetic, linear in the rate.

Processor time and bytes of an event are measured (``coefficients.py``); what is assumed of
machines is in ``event_costs.Need``.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from bench.sizing.coefficients import Coefficients
from bench.sizing.event_costs import (
    DAY_S,
    Need,
    broker_event_us,
    event_bytes,
    event_us,
    learning_bytes,
)

__all__ = ["Limits", "Plan", "limits", "plan"]

_WEEK_S: Final = 7 * DAY_S


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a rate needs.

    Attributes
    ----------
    worker_cores : float
        In use.
    processes, partitions : int
        Workers, of one core each, and partitions of topics keyed by request.
    broker_cores : float
        In use, all copies together.
    written_mb_per_s : float
        On all brokers, all copies together.
    brokers : int
        As many as cores or writes demand, and no fewer than copies.
    brokers_by : str
        Which of the three it was.
    waiting : float
        Predictions in the window.
    store_gb : float
        RocksDB of all workers, GB of 10**9 bytes.
    topics_gb : float
        Topics on all brokers, all copies together.
    restore_s : float
        Of one worker whose disk was lost.
    hottest_cores : float
        What the busiest route's learning takes of its one partition; it must stay below 1.
    limited_by : str
        What gives out first.
    """

    worker_cores: float
    processes: int
    partitions: int
    broker_cores: float
    written_mb_per_s: float
    brokers: int
    brokers_by: str
    waiting: float
    store_gb: float
    topics_gb: float
    restore_s: float
    hottest_cores: float
    limited_by: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one part bears, fully used, events a second.

    Attributes
    ----------
    core : float
        A worker process; also a partition, which never has more than one core.
    route : float
        One route: two events for each label that its partition of learning can count.
    broker_writes, broker_cores : float
        A broker, by bytes and by processor time.
    """

    core: float
    route: float
    broker_writes: float
    broker_cores: float


def limits(known: Coefficients, need: Need) -> Limits:
    """Return what single parts bear."""
    return Limits(
        core=1e6 / event_us(known, need),
        route=2e6 / known.learning_us,
        broker_writes=need.broker_mb_per_s * 1e6 / event_bytes(known, need),
        broker_cores=need.broker_cores * 1e6 / broker_event_us(known, need),
    )


def plan(known: Coefficients, need: Need) -> Plan:
    """Predict what a rate needs."""
    waiting = need.rate / 2 * need.window_s
    idle = need.routes * known.route_cores

    def busy(processes: int) -> float:
        """Cores of all workers: with more, each has less waiting and fewer routes."""
        return need.rate * event_us(known, need, waiting / processes, processes) / 1e6 + idle

    processes = 1
    while busy(processes) > processes * need.used:
        processes += 1
    partitions = processes * need.partitions_per_core
    cores = max(busy(processes), processes * known.light_cores + idle)
    leading = max(
        need.rate * broker_event_us(known, need, processes) / 1e6, known.broker_light_cores
    )
    broker_cores = need.replication * leading
    written = need.replication * need.rate * event_bytes(known, need, processes) / 1e6
    by = {
        "copies": need.replication,
        "cores": math.ceil(broker_cores / (need.used * need.broker_cores)),
        "writes": math.ceil(written / (need.used * need.broker_mb_per_s)),
    }
    brokers_by = max(by, key=lambda name: by[name])
    hottest = need.hottest * need.rate / 2 * known.learning_us / 1e6
    return Plan(
        worker_cores=cores,
        processes=processes,
        partitions=partitions,
        broker_cores=broker_cores,
        written_mb_per_s=written,
        brokers=by[brokers_by],
        brokers_by=brokers_by,
        waiting=waiting,
        store_gb=waiting * known.store_bytes / 1e9,
        topics_gb=need.replication * need.rate * _kept(known, need, processes) / 1e9,
        restore_s=known.start_s + waiting / processes / known.restored_per_s,
        hottest_cores=hottest,
        limited_by=_limited_by(need, by, processes, hottest),
    )


def _kept(known: Coefficients, need: Need, workers: int) -> float:
    """Bytes times seconds: what a rate of one event a second keeps on the topics, one copy.

    Deleted topics keep a week or twice the window and a day (``streams.topology``); a compacted one
    what lives, and a day's writes, since the newest segment is not compacted.
    """
    kept_s = max(_WEEK_S, 2 * need.window_s + DAY_S)
    inputs = known.input_bytes + 500 * (need.value_kb - 0.15)
    return (
        (inputs + known.output_bytes) * kept_s
        + known.changelog_bytes * (need.window_s + DAY_S)
        + learning_bytes(known, need, workers) * DAY_S
    )


def _limited_by(need: Need, brokers: Mapping[str, int], processes: int, hottest: float) -> str:
    if hottest > need.used:
        return f"partition: the busiest route may have {need.hottest * need.used / hottest:.1%}"
    most = max(brokers.values())
    if most > need.replication and most * need.broker_cores > processes:
        return "broker"
    return "nothing: one process, and a broker for each copy" if processes == 1 else "core"
