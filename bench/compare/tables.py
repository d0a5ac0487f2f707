"""The results of a comparison as one table. Pure."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from bench.compare.ceilings import CEILINGS, limit_of
from bench.compare.rounds import Comparison
from bench.peers.drain import Drained

__all__ = ["ratios", "summary", "table"]

SUBJECT: Final = "ours"


def ratios(ours: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Return ours / other for each round in which both have a rate.

    In order of the rounds.

    Examples
    --------
    >>> ratios({0: 10.0, 1: 20.0}, {1: 5.0})
    [4.0]
    """
    return [ours[at] / other[at] for at in sorted(ours) if other.get(at)]


def summary(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured, for JSON.

    Medians, ratios with their spread, share of the limit, and all runs.
    """
    everybody = [*comparison.ceilings, *comparison.runs]
    compared = _compared({name: comparison.rates(name) for name in everybody})
    medians = {name: statistics.median(comparison.rates(name).values()) for name in everybody}
    warm = {name: comparison.warm_rates(name) for name in comparison.runs}
    answer: dict[str, Any] = {
        "medians_events_per_s": medians,
        "ours_to": compared,
        "warm_events_per_s": {name: statistics.median(r.values()) for name, r in warm.items()},
        "ours_to_warm": _compared(warm),
        "results": msgspec.to_builtins(comparison, str_keys=True),
    }
    if medians.keys() >= CEILINGS.keys():
        answer["limit_events_per_s"] = limit_of(medians)
        if SUBJECT in medians:
            answer["share_of_limit"] = medians[SUBJECT] / answer["limit_events_per_s"]
    return answer


def _compared(rates: Mapping[str, Mapping[int, float]]) -> dict[str, dict[str, float]]:
    """How many times as fast ours is as each other: median, least and most of the rounds."""
    found = {name: ratios(rates.get(SUBJECT, {}), other) for name, other in rates.items()}
    return {
        name: {"median": statistics.median(one), "least": min(one), "most": max(one)}
        for name, one in found.items()
        if name != SUBJECT and one
    }


def table(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of two tables, in Markdown, fastest first: warm, then with the start."""
    known = summary(comparison)
    yield from _warm(known)
    yield ""
    yield from _cold(comparison, known)
    yield ""
    yield from _notes(comparison, known)


def _warm(known: Mapping[str, Any]) -> Iterator[str]:
    rates, compared = known["warm_events_per_s"], known["ours_to_warm"]
    yield "| warm: the second half | events/s | ours is (min..max) |"
    yield "|---|---:|---:|"
    for name in sorted(rates, key=lambda one: -rates[one]):
        yield f"| {name} | {rates[name]:,.0f} | {_times(compared.get(name))} |"


def _cold(comparison: Comparison, known: Mapping[str, Any]) -> Iterator[str]:
    medians, compared = known["medians_events_per_s"], known["ours_to"]
    yield (
        "| from the first output on | events/s | ours is (min..max) | CPU µs/event | peak MB "
        "| first output | wall, with start | pairs | runs |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name in sorted(comparison.runs, key=lambda one: -medians[one]):
        runs = list(comparison.runs[name].values())

        def median(field: str, runs: list[Drained] = runs) -> float:
            values: list[float] = [getattr(run.timing, field) for run in runs]
            return statistics.median(values)

        pairs = max(2000, round(comparison.pairs * comparison.shares[name]))
        yield (
            f"| {name} | {medians[name]:,.0f} "
            f"| {_times(compared.get(name))} | {median('cpu_us_per_event'):.1f} "
            f"| {statistics.median(run.peak_mb for run in runs):,.0f} "
            f"| {median('first_s'):.1f} s | {median('last_s'):.1f} s | {pairs:,} | {len(runs)} |"
        )
    for name, rates in comparison.ceilings.items():
        yield (
            f"| ceiling: {name} alone | {medians[name]:,.0f} | {_times(compared.get(name))} "
            f"| | | | | {comparison.pairs:,} | {len(rates)} |"
        )


def _times(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f}x ({ratio['least']:.2f}..{ratio['most']:.2f})"


def _notes(comparison: Comparison, known: Mapping[str, Any]) -> Iterator[str]:
    if "share_of_limit" in known:
        yield (
            f"Share of the limit: {known['share_of_limit']:.2f}; decode (with getmany), produce "
            "and rocksdb one after the other would go at "
            f"{known['limit_events_per_s']:,.0f} events/s."
        )
    yield (
        "Rates count predictions and labels, from the first output that a read-committed consumer "
        "sees to the last (rewards and totals), the first look's left out, so that starting does "
        "not count; warm: from half of the rewards on. Each output was equal in count and sums."
    )
    for name in comparison.runs:
        yield f"- {name}: {comparison.what[name]}"
    for name, why in comparison.left_out.items():
        yield f"- {name} is left out: {why}"
