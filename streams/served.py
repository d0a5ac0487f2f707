"""Tallies which arm answered how often, from new predictions; told to learning as ``Traffic``."""

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


def traffic_of(served: ServedTally) -> list[Traffic]:
    """Return a tally as records.

    Parameters
    ----------
    served : ServedTally
        Of any number of routes.

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
    return [
        Traffic(route=route, served=part, until_ms=newest[route]) for route, part in parts.items()
    ]
