"""Tallies which arm answered how often, and how old predictions are; learning gets ``Traffic``."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from leverframe.schemas.prediction import Prediction
from leverframe.schemas.traffic import (
    CHECKED,
    MISPLACED,
    NEARBY_CHECKED,
    NEARBY_MISPLACED,
    NEARBY_ORPHAN_LABELS,
    AgedCount,
    ServedCount,
    Traffic,
)
from leverframe.streams.attribution.entries import ShadowWaiting, Waiting
from leverframe.streams.health.ages import FINEST_MS, bin_start

__all__ = [
    "AgedCounts",
    "AgedTally",
    "ServedCounts",
    "ServedKey",
    "ServedTally",
    "merge",
    "merge_ages",
    "note_prediction",
    "note_settled",
    "served_key",
    "tally",
    "traffic_of",
]

_MOST_KEYS: Final = 2000
# Three lists of so many names of up to 128 characters, one of them with replicas, stay below
# Kafka's limit of 1 MB.
_ITEMS_OF_A_RECORD: Final = 200
_NEARBY: Final = {
    "orphan_label": NEARBY_ORPHAN_LABELS,
    NEARBY_CHECKED: NEARBY_CHECKED,
    NEARBY_MISPLACED: NEARBY_MISPLACED,
}
OTHER_ARMS: Final = "(others)"


class ServedCounts(Struct, gc=False):
    """New predictions, with their first and newest record time (ms), and those that name a unit."""

    count: int
    first_ms: int
    newest_ms: int
    of_units: int = 0


class AgedCounts(Struct, gc=False):
    """Predictions, and those of them that got their reward or gave up waiting."""

    predicted: int = 0
    settled: int = 0


ServedKey: TypeAlias = tuple[str, str, int | None, int | None, str | None]
"""Route, arm, epoch, seq and replica."""
ServedTally: TypeAlias = dict[ServedKey, ServedCounts]
AgedTally: TypeAlias = dict[tuple[str, str, int], AgedCounts]
"""By route, arm and second (its start, ms)."""


def served_key(prediction: Prediction) -> ServedKey:
    """Return under what a prediction is counted."""
    one = prediction
    return one.route, one.arm, one.epoch, one.seq, one.replica


def tally(served: ServedTally, prediction: Prediction, at_ms: int) -> ServedCounts:
    """Count a new prediction, no duplicate, at its record time; return where it was counted."""
    key = served_key(prediction)
    counts = served.get(key)
    if counts is None:
        counts = served.setdefault(_counted_as(served, key), ServedCounts(0, at_ms, at_ms))
    counts.count += 1
    if at_ms < counts.first_ms:
        counts.first_ms = at_ms
    elif at_ms > counts.newest_ms:
        counts.newest_ms = at_ms
    return counts


def merge(served: ServedTally, more: ServedTally) -> None:
    """Add ``more`` to ``served``; nothing is shared between them afterwards."""
    for wanted, added in more.items():
        key = _counted_as(served, wanted)
        counts = served.setdefault(key, ServedCounts(0, added.first_ms, added.newest_ms))
        counts.count += added.count
        counts.of_units += added.of_units
        counts.first_ms = min(counts.first_ms, added.first_ms)
        counts.newest_ms = max(counts.newest_ms, added.newest_ms)


def _counted_as(served: ServedTally, key: ServedKey) -> ServedKey:
    """Names come from producers: beyond ``_MOST_KEYS`` all others of a route count as one."""
    if key in served or len(served) < _MOST_KEYS:
        return key
    return key[0], OTHER_ARMS, None, None, None


def note_prediction(aged: AgedTally, waiting: Waiting) -> None:
    """Count a new prediction that was served and shown."""
    if waiting.shown and type(waiting) is not ShadowWaiting:
        _counts(aged, waiting).predicted += 1


def note_settled(aged: AgedTally, waiting: Waiting) -> None:
    """Count a prediction that waits no more: it has a reward, or its window has ended."""
    if waiting.shown and type(waiting) is not ShadowWaiting:
        _counts(aged, waiting).settled += 1


def _counts(aged: AgedTally, waiting: Waiting) -> AgedCounts:
    at_ms = min(waiting.predicted_at_ms, waiting.arrived_ms)  # a clock may be ahead
    key = waiting.route, waiting.arm, at_ms - at_ms % FINEST_MS
    counts = aged.get(key)
    if counts is None:
        counts = aged[key] = AgedCounts()
    return counts


def merge_ages(aged: AgedTally, more: AgedTally) -> None:
    """Add ``more`` to ``aged``; nothing is shared between them afterwards."""
    for key, added in more.items():
        counts = aged.setdefault(key, AgedCounts())
        counts.predicted += added.predicted
        counts.settled += added.settled


def traffic_of(
    served: ServedTally,
    joins: Mapping[tuple[str, str, str], int],
    aged: AgedTally,
    now_ms: int,
    units: Mapping[ServedKey, tuple[int, list[int]]] | None = None,
) -> list[Traffic]:
    """Return tallies as records: one for each route, or several where a record would be large.

    ``joins`` are the counts of ``attribute`` and ``sweep`` by ``(what, route, arm)``; of those
    without a route only the orphans go out, beside every route. ``now_ms`` is stream time, for
    routes without a new prediction. ``units`` are the period and hashes of new units.
    """
    parts: dict[str, list[ServedCount]] = {}
    newest: dict[str, int] = {}
    for key, counts in served.items():
        route, arm, epoch, seq, replica = key
        period, new = (None, []) if units is None else units.get(key, (None, []))
        parts.setdefault(route, []).append(
            ServedCount(
                arm=arm,
                epoch=epoch,
                seq=seq,
                count=counts.count,
                from_ms=counts.first_ms,
                of_units=counts.of_units,
                units=new,
                unit_period=period,
                replica=replica,
            )
        )
        newest[route] = max(newest.get(route, 0), counts.newest_ms)
    totals: dict[str, dict[str, int]] = {}
    arms: dict[str, dict[str, dict[str, int]]] = {}
    for (what, route, arm), count in joins.items():
        if route:
            total = totals.setdefault(route, {})
            total[what] = total.get(what, 0) + count
            if what not in {CHECKED, MISPLACED}:
                arms.setdefault(route, {}).setdefault(arm, {})[what] = count
    ages = _ages_of(aged, newest, now_ms)
    orphans = {
        told: joins[what, "", ""] for what, told in _NEARBY.items() if joins.get((what, "", ""))
    }
    records = []
    for route in dict.fromkeys([*parts, *totals, *ages]):
        own_joins = totals.get(route, {}) | orphans
        part, by_arm = parts.get(route, []), list(arms.get(route, {}).items())
        by_age = ages.get(route, [])
        longest = max(1, len(part), len(by_arm), len(by_age))
        for at in range(0, longest, _ITEMS_OF_A_RECORD):
            end = at + _ITEMS_OF_A_RECORD
            records.append(
                Traffic(
                    route=route,
                    served=part[at:end],
                    until_ms=newest.get(route, now_ms),
                    joins=own_joins if at == 0 else {},
                    arms=dict(by_arm[at:end]),
                    aged=by_age[at:end],
                )
            )
    return records


def _ages_of(aged: AgedTally, newest: Mapping[str, int], now_ms: int) -> dict[str, list[AgedCount]]:
    """By route, in bins as wide as their age allows."""
    bins: AgedTally = {}
    for (route, arm, at_ms), counts in aged.items():
        start_ms = bin_start(at_ms, newest.get(route, now_ms))
        merge_ages(bins, {(route, arm, start_ms): counts})
    ages: dict[str, list[AgedCount]] = {}
    for (route, arm, at_ms), counts in bins.items():
        ages.setdefault(route, []).append(
            AgedCount(arm=arm, from_ms=at_ms, predicted=counts.predicted, settled=counts.settled)
        )
    return ages
