"""The end of the scripted day: the oracle's statistics, ours, and the difference."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from leverframe.experiments.demo.day import ARMS, BUCKET_MS, DEAREST, HOUR_MS, ROUTES, Day
from leverframe.experiments.oracle import Counted, recount
from leverframe.policies.reward_base import to_unit
from leverframe.policies.units import NANO
from leverframe.schemas.reward import Reward
from leverframe.streams.health.join import JOIN_COUNTS
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.state import RouteState

__all__ = ["Sums", "differing_requests", "expected_counts", "oracle_sums", "our_sums", "show_day"]

_HALF_LIFE_MS = 3 * HOUR_MS
_WINDOW_MS = 6 * HOUR_MS


class Sums(Struct, frozen=True):
    """What one arm comes to.

    Attributes
    ----------
    labels : int
        Requests that count.
    total : int
        Sum of rewards mapped to [0, 1], in 1e-9.
    windowed : int
        The same of the last six hours of the day.
    discounted : float
        The same, discounted with a half-life of three hours.
    """

    labels: int = 0
    total: int = 0
    windowed: int = 0
    discounted: float = 0.0


def _sums(buckets: Mapping[int, tuple[int, int]], end_ms: int) -> Sums:
    """From bucket (its start, ms) to count and sum."""
    ages = {at: end_ms - at for at in buckets}
    return Sums(
        sum(count for count, _ in buckets.values()),
        sum(total for _, total in buckets.values()),
        sum(total for at, (_, total) in buckets.items() if ages[at] <= _WINDOW_MS),
        math.fsum(total * 0.5 ** (ages[at] / _HALF_LIFE_MS) for at, (_, total) in buckets.items()),
    )


def expected_counts(day: Day) -> dict[str, Counted]:
    """Return what each request that was predicted comes to, by the oracle."""
    return {
        name: recount(predicted, labelled, ROUTES[route])
        for name, (route, predicted, labelled) in day.told.items()
        if predicted
    }


def oracle_sums(
    day: Day, counted: Mapping[str, Counted], end_ms: int
) -> dict[tuple[str, str], Sums]:
    """Return the recount's statistics."""
    buckets: defaultdict[tuple[str, str], dict[int, tuple[int, int]]] = defaultdict(dict)
    for name, one in counted.items():
        if one.reward is not None:
            own = buckets[day.told[name][0], one.arm]
            at = one.since_ms - one.since_ms % BUCKET_MS
            count, total = own.get(at, (0, 0))
            own[at] = count + 1, total + int(one.reward)
    return {key: _sums(own, end_ms) for key, own in buckets.items()}


def our_sums(states: Mapping[str, RouteState], end_ms: int) -> dict[tuple[str, str], Sums]:
    """Return the learning ledger's statistics."""
    return {
        (route, name): _of_arm(arm, end_ms)
        for route, state in states.items()
        for name, arm in state.arms.items()
    }


def _of_arm(arm: ArmState, end_ms: int) -> Sums:
    buckets = {i * BUCKET_MS: (own[0], own[1]) for i, own in arm.buckets.items() if any(own)}
    recent = _sums(buckets, end_ms)
    return Sums(arm.count, arm.sum_nano, recent.windowed, recent.discounted)


def differing_requests(counted: Mapping[str, Counted], rewards: Iterable[Reward]) -> list[str]:
    """Return requests whose last reward record is not what the oracle says."""
    highs = {"shop": float(DEAREST), "review": 1.0}
    last: dict[str, Reward] = {}
    for reward in rewards:
        before = last.get(reward.request_id)
        if before is None or reward.revision > before.revision:
            last[reward.request_id] = reward
    ours = {
        name: round(to_unit(reward.reward, 0.0, highs[reward.route]) * NANO)
        for name, reward in last.items()
        if reward.reward is not None
    }
    wanted = {name: int(one.reward) for name, one in counted.items() if one.reward is not None}
    return sorted(name for name in set(ours) | set(wanted) if ours.get(name) != wanted.get(name))


def show_day(
    day: Day,
    oracle: Mapping[tuple[str, str], Sums],
    ours: Mapping[tuple[str, str], Sums],
    states: Mapping[str, RouteState],
    console: Console,
) -> None:
    """Print what was sent, what became of it, and both statistics with their difference."""
    for route in ROUTES:
        sent = Table(box=None, pad_edge=False, header_style="bold")
        sent.add_column(f"{route}: what was sent", no_wrap=True)
        sent.add_column("requests", justify="right")
        sent.add_column("   what was counted", no_wrap=True)
        sent.add_column("", justify="right")
        kinds = [(kind, n) for (of, kind), n in sorted(day.kinds.items()) if of == route]
        totals = states[route].join.totals if route in states else {}
        counts = [(what.replace("_", " "), totals[what]) for what in JOIN_COUNTS if what in totals]
        for at in range(max(len(kinds), len(counts))):
            kind, n = kinds[at] if at < len(kinds) else ("", None)
            what, count = counts[at] if at < len(counts) else ("", None)
            sent.add_row(kind, _number(n), f"   {what}", _number(count))
        console.print(sent)
        console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("route", "arm"):
        table.add_column(title)
    for title in ("labels", "sum of rewards", "last 6 hours", "discounted", "difference"):
        table.add_column(title, justify="right")
    for route in ROUTES:
        for arm in ARMS:
            wanted, have = oracle.get((route, arm), Sums()), ours.get((route, arm), Sums())
            table.add_row(route, arm, *_cells(wanted), "")
            table.add_row("", "  ours", *_cells(have), _difference(wanted, have))
    console.print(table)


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _cells(sums: Sums) -> list[str]:
    totals = (sums.total, sums.windowed, sums.discounted)
    return [f"{sums.labels:,}", *(f"{total / NANO:,.6f}" for total in totals)]


def _difference(wanted: Sums, have: Sums) -> str:
    """Of all four figures together, in units of 1e-9."""
    found = (
        abs(wanted.labels - have.labels)
        + abs(wanted.total - have.total)
        + abs(wanted.windowed - have.windowed)
        + abs(wanted.discounted - have.discounted)
    )
    return "[green]0[/green]" if found == 0 else f"[red]{found:g}[/red]"
