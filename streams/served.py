"""Tallies which arm answered how often, from new predictions; told to learning as ``Traffic``."""

from collections.abc import Mapping
from typing import TypeAlias

from schemas.prediction import Prediction
from schemas.traffic import ServedCount, Traffic

__all__ = ["ServedTally", "merge", "tally", "traffic_of"]

ServedKey: TypeAlias = tuple[str, str, int | None, int | None]
ServedTally: TypeAlias = dict[ServedKey, list[int]]
"""Route, arm, epoch and seq to count, first and newest record time (ms)."""


def tally(served: ServedTally, prediction: Prediction, at_ms: int) -> None:
    """Count one new prediction.

    Parameters
    ----------
    served : ServedTally
        Changed in place.
    prediction : Prediction
        Not a duplicate.
    at_ms : int
        Its record time.
    """
    key = (prediction.route, prediction.arm, prediction.epoch, prediction.seq)
    seen = served.get(key)
    if seen is None:
        served[key] = [1, at_ms, at_ms]
    else:
        seen[0] += 1
        seen[1] = min(seen[1], at_ms)
        seen[2] = max(seen[2], at_ms)


def merge(served: ServedTally, more: ServedTally) -> None:
    """Add one tally to another.

    Parameters
    ----------
    served : ServedTally
        Changed in place.
    more : ServedTally
        What is added.
    """
    for key, (count, first_ms, newest_ms) in more.items():
        seen = served.get(key)
        served[key] = (
            [count, first_ms, newest_ms]
            if seen is None
            else [seen[0] + count, min(seen[1], first_ms), max(seen[2], newest_ms)]
        )


def traffic_of(
    served: ServedTally, joins: Mapping[tuple[str, str], int], now_ms: int
) -> list[Traffic]:
    """Return a tally as records.

    Parameters
    ----------
    served : ServedTally
        Of any number of routes.
    joins : mapping of (str, str) to int
        Counts of ``attribute`` and ``sweep`` by ``(what, route)``; those without a route are not
        told.
    now_ms : int
        Stream time, for routes without a new prediction.

    Returns
    -------
    list of Traffic
        One for each route.
    """
    parts: dict[str, list[ServedCount]] = {}
    newest: dict[str, int] = {}
    for (route, arm, epoch, seq), (count, first_ms, newest_ms) in served.items():
        parts.setdefault(route, []).append(
            ServedCount(arm=arm, epoch=epoch, seq=seq, count=count, from_ms=first_ms)
        )
        newest[route] = max(newest.get(route, 0), newest_ms)
    counts: dict[str, dict[str, int]] = {}
    for (what, route), count in joins.items():
        if route:
            counts.setdefault(route, {})[what] = count
    return [
        Traffic(
            route=route,
            served=parts.get(route, []),
            until_ms=newest.get(route, now_ms),
            joins=counts.get(route, {}),
        )
        for route in dict.fromkeys([*parts, *counts])
    ]
