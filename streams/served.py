"""Tallies which arm answered how often, from new predictions; told to learning as ``Traffic``."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from schemas.prediction import Prediction
from schemas.traffic import ServedCount, Traffic

__all__ = ["ServedTally", "merge", "tally", "traffic_of"]

_MOST_KEYS: Final = 2000
_IN_ONE_RECORD: Final = 500
OTHER_ARMS: Final = "(others)"

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
    key = _room_for(served, (prediction.route, prediction.arm, prediction.epoch, prediction.seq))
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
    for wanted, (count, first_ms, newest_ms) in more.items():
        key = _room_for(served, wanted)
        seen = served.get(key)
        served[key] = (
            [count, first_ms, newest_ms]
            if seen is None
            else [seen[0] + count, min(seen[1], first_ms), max(seen[2], newest_ms)]
        )


def _room_for(served: ServedTally, key: ServedKey) -> ServedKey:
    """Names come from producers: beyond ``_MOST_KEYS`` all others of a route count as one."""
    return key if key in served or len(served) < _MOST_KEYS else (key[0], OTHER_ARMS, None, None)


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
        One for each route, or several where a record would be large.
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
    told = []
    for route in dict.fromkeys([*parts, *counts]):
        part = parts.get(route, [])
        told += [
            Traffic(
                route=route,
                served=part[at : at + _IN_ONE_RECORD],
                until_ms=newest.get(route, now_ms),
                joins=counts.get(route, {}) if at == 0 else {},
            )
            for at in range(0, max(1, len(part)), _IN_ONE_RECORD)
        ]
    return told
