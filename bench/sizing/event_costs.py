"""What one event costs in a deployment of some size. Pure arithmetic on measured coefficients."""

import math
from typing import Final

import msgspec

from bench.growth.route_costs import touched
from bench.growth.shapes import BASE
from bench.sizing.coefficients import Coefficients

__all__ = ["DAY_S", "Need", "broker_event_us", "event_bytes", "event_us", "learning_bytes"]

DAY_S: Final = 86_400.0


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and what is assumed of the machines.

    Attributes
    ----------
    rate : float
        Events a second: half predictions, half labels.
    window_s : float
        Attribution window; every prediction is kept that long.
    value_kb : float
        Of a prediction, 1000 bytes.
    arms, routes : int
        Arms of a route; routes.
    hottest : float
        Share of all labels that the busiest route gets, 0 to 1.
    used : float
        Share of a core or broker that is to be in use, 0 to 1; the rest is for catching up.
    replication : int
        Copies of each topic.
    broker_mb_per_s, broker_cores : float
        Writes that a broker bears, its copies of others' partitions included, and its cores.
    partitions_per_core : int
        Partitions that each worker process has.
    """

    rate: float
    window_s: float = DAY_S
    value_kb: float = 0.15
    arms: int = 4
    routes: int = 10
    hottest: float = 0.1
    used: float = 0.6
    replication: int = 3
    broker_mb_per_s: float = 100.0
    broker_cores: float = 8.0
    partitions_per_core: int = 4


def event_us(known: Coefficients, need: Need, waiting_each: float = 0.0, workers: int = 1) -> float:
    """Return the worker's processor time of an event.

    Microseconds.
    """
    doublings = math.log2(max(1.0, waiting_each / known.waiting_free))
    return (
        known.worker_us
        + known.worker_us_per_kb * (need.value_kb - 0.15)
        + known.worker_us_per_arm * (need.arms - 4)
        + known.worker_us_per_doubling * doublings
        + known.worker_us_per_touch * _touched(known, need, workers)
    )


def _touched(known: Coefficients, need: Need, workers: int) -> float:
    """Routes that a micro-batch touches for each event, beyond those of the base."""
    each = touched(max(1.0, need.routes / workers), known.batch_labels)
    return each - touched(BASE.routes, known.batch_labels)


def event_bytes(known: Coefficients, need: Need, workers: int = 1) -> float:
    """Return what an event makes the broker write, one copy.

    Bytes; a value's size counts half, since each second event is a label.
    """
    inputs = known.input_bytes + 500 * (need.value_kb - 0.15)
    learning = learning_bytes(known, need, workers)
    return inputs + known.changelog_bytes + known.output_bytes + learning


def learning_bytes(known: Coefficients, need: Need, workers: int) -> float:
    """Return what an event writes to the changelog of learning, one copy."""
    more = known.bytes_per_arm * (need.arms - 4)
    more += known.bytes_per_touch * _touched(known, need, workers)
    return max(0.0, known.learning_bytes + more)


def broker_event_us(known: Coefficients, need: Need, workers: int = 1) -> float:
    """Return the processor time of an event of the broker that leads its partitions.

    Microseconds.
    """
    more = known.broker_us_per_touch * _touched(known, need, workers)
    return known.broker_us + known.broker_us_per_kb * (need.value_kb - 0.15) + more
