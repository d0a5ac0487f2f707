"""Tallies which arm answered how often; learning hears of it as ``Traffic``."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from leverframe.schemas.prediction import Prediction
from leverframe.schemas.traffic import NEARBY_ORPHAN_LABELS, AgedCount, ServedCount, Traffic
from leverframe.streams.attribution.entries import Waiting
from leverframe.streams.health.ages import FINEST_MS, bin_start

__all__ = [
    "AgedTally",
    "ServedTally",
    "merge",
    "merge_ages",
    "note_prediction",
    "note_settled",
    "tally",
    "traffic_of",
]

_MOST_KEYS: Final = 2000
# Three lists of so many names of up to 128 characters stay below Kafka's limit of 1 MB.
_IN_ONE_RECORD: Final = 200
OTHER_ARMS: Final = "(others)"

ServedKey: TypeAlias = tuple[str, str, int | None, int | None]
ServedTally: TypeAlias = dict[ServedKey, list[int]]
"""Route, arm, epoch and seq to count, first and newest record time (ms)."""
AgedTally: TypeAlias = dict[tuple[str, str, int], list[int]]
"""Route, arm and second (its start, ms) to predictions, and to those that got their reward."""


def tally(served: ServedTally, prediction: Prediction, at_ms: int) -> None:
    """Count one new prediction."""
    key = prediction.route, prediction.arm, prediction.epoch, prediction.seq
    seen = served.get(key)
    if seen is None:
        seen = served.setdefault(_bounded_key(served, key), [0, at_ms, at_ms])
    seen[0] += 1
    if at_ms < seen[1]:
        seen[1] = at_ms
    elif at_ms > seen[2]:
        seen[2] = at_ms


def merge(served: ServedTally, more: ServedTally) -> None:
    """Add one tally to another."""
    for wanted, (count, first_ms, newest_ms) in more.items():
        key = _bounded_key(served, wanted)
        seen = served.get(key)
        served[key] = (
            [count, first_ms, newest_ms]
            if seen is None
            else [seen[0] + count, min(seen[1], first_ms), max(seen[2], newest_ms)]
        )


def _bounded_key(served: ServedTally, key: ServedKey) -> ServedKey:
    """Names come from producers: beyond ``_MOST_KEYS`` all others of a route count as one."""
    return key if key in served or len(served) < _MOST_KEYS else (key[0], OTHER_ARMS, None, None)


def note_prediction(aged: AgedTally, waiting: Waiting) -> None:
    """Count a new prediction that was shown."""
    _note(aged, waiting, 0)


def note_settled(aged: AgedTally, waiting: Waiting) -> None:
    """Count a prediction that waits no more: it has a reward, or its window has ended."""
    _note(aged, waiting, 1)


def _note(aged: AgedTally, waiting: Waiting, which: int) -> None:
    if not waiting.shown:
        return
    at_ms = min(waiting.predicted_at_ms, waiting.arrived_ms)  # a clock may be ahead
    key = waiting.route, waiting.arm, at_ms - at_ms % FINEST_MS
    found = aged.get(key)
    if found is None:
        found = aged[key] = [0, 0]
    found[which] += 1


def merge_ages(aged: AgedTally, more: AgedTally) -> None:
    """Add one tally to another."""
    for key, (predicted, settled) in more.items():
        found = aged.setdefault(key, [0, 0])
        found[0] += predicted
        found[1] += settled


def traffic_of(
    served: ServedTally,
    joins: Mapping[tuple[str, str, str], int],
    aged: AgedTally,
    now_ms: int,
) -> list[Traffic]:
    """Return a tally as records.

    One for each route, or several where a record would be large.
    """
    parts: dict[str, list[ServedCount]] = {}
    newest: dict[str, int] = {}
    for (route, arm, epoch, seq), (count, first_ms, newest_ms) in served.items():
        parts.setdefault(route, []).append(
            ServedCount(arm=arm, epoch=epoch, seq=seq, count=count, from_ms=first_ms)
        )
        newest[route] = max(newest.get(route, 0), newest_ms)
    totals: dict[str, dict[str, int]] = {}
    arms: dict[str, dict[str, dict[str, int]]] = {}
    for (what, route, arm), count in joins.items():
        if route:
            total = totals.setdefault(route, {})
            total[what] = total.get(what, 0) + count
            arms.setdefault(route, {}).setdefault(arm, {})[what] = count
    ages = _ages_of(aged, newest, now_ms)
    orphans = joins.get(("orphan_label", "", ""), 0)
    records = []
    for route in dict.fromkeys([*parts, *totals, *ages]):
        counts = totals.get(route, {}) | ({NEARBY_ORPHAN_LABELS: orphans} if orphans else {})
        part, by_arm = parts.get(route, []), list(arms.get(route, {}).items())
        by_age = ages.get(route, [])
        longest = max(1, len(part), len(by_arm), len(by_age))
        for at in range(0, longest, _IN_ONE_RECORD):
            end = at + _IN_ONE_RECORD
            records.append(
                Traffic(
                    route=route,
                    served=part[at:end],
                    until_ms=newest.get(route, now_ms),
                    joins=counts if at == 0 else {},
                    arms=dict(by_arm[at:end]),
                    aged=by_age[at:end],
                )
            )
    return records


def _ages_of(aged: AgedTally, newest: Mapping[str, int], now_ms: int) -> dict[str, list[AgedCount]]:
    """By route, in bins as wide as their age allows."""
    bins: AgedTally = {}
    for (route, arm, at_ms), (predicted, settled) in aged.items():
        found = bins.setdefault((route, arm, bin_start(at_ms, newest.get(route, now_ms))), [0, 0])
        found[0] += predicted
        found[1] += settled
    ages: dict[str, list[AgedCount]] = {}
    for (route, arm, at_ms), (predicted, settled) in bins.items():
        ages.setdefault(route, []).append(
            AgedCount(arm=arm, from_ms=at_ms, predicted=predicted, settled=settled)
        )
    return ages
