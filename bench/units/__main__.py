"""``python -m bench.units``: the guard where users have many requests each and keep their arm.

Routes of users with Zipf activity whose means are drawn from a Beta distribution. Each user's arm
is drawn anew in every period, or once. What the guard sees of them is varied: every label, the
first of each user and period (the product's rule), or the mean of each user and period, at the
period's end. The bets are the product's, see ``bench.guard.simulation``. Tables in Markdown go to
stdout.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.guard.simulation import Looks, first_alarm, log_evidence
from leverframe.policies.guard.betting import STAKES, log_growth
from leverframe.policies.guard.seen import SeenUnits, note_unit
from leverframe.policies.guard.verdict import arm_alpha

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ALPHA: Final = 0.01
MARGIN: Final = 0.02
THRESHOLDS: Final = {
    "alone": math.log(1 / ALPHA),
    "second arm": math.log(1 / arm_alpha(ALPHA, 2)),
}
RULES: Final = ("every label", "first of each period", "mean of each period")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a route is like."""

    labels: int
    users: int
    period: int
    """Labels."""
    share: float
    """Of the arm in question."""
    good: float = 0.9
    bad: float = 0.9
    """Means of both arms, and of the arm in question once it has broken."""
    deviation: float = 0.1
    """Of the users' means; 0: all alike."""
    breaks_after: int = 0
    """Labels of the arm."""
    exponent: float = 1.1
    is_redrawn: bool = True
    """Each user's arm in every period, else once."""
    is_sticky: bool = True
    """Else every request draws."""


@dataclass(frozen=True)
class Seen:
    """What the guard sees of one route, in its order; all of shape (observations,)."""

    is_arm: Bools
    value: Floats
    at: Ints
    """Labels of the arm by then."""


def draw_route(rng: np.random.Generator, world: World) -> tuple[Ints, Bools, Bools]:
    """Draw one route: whose label it is, whether it is of the arm, its reward; shape (labels,)."""
    weights = np.arange(1, world.users + 1) ** -world.exponent
    who = rng.choice(world.users, world.labels, p=weights / weights.sum())
    strength = world.good * (1 - world.good) / max(world.deviation, 1e-9) ** 2 - 1
    own = np.full(world.users, world.good)
    if world.deviation:
        own = rng.beta(world.good * strength, (1 - world.good) * strength, world.users)
    periods = -(-world.labels // world.period)
    drawn = rng.random((periods if world.is_redrawn else 1, world.users)) < world.share
    row = np.arange(world.labels) // world.period if world.is_redrawn else 0
    is_arm = drawn[row, who] if world.is_sticky else rng.random(world.labels) < world.share
    is_broken = is_arm & (np.cumsum(is_arm) > world.breaks_after)
    mean = own[who] * np.where(is_broken, world.bad / world.good, 1.0)
    return who, is_arm, rng.random(world.labels) < mean


def seen_by(rule: str, world: World, who: Ints, is_arm: Bools, reward: Bools) -> Seen:
    """Return what one rule lets the guard see."""
    at = np.cumsum(is_arm)
    if rule == "every label":
        return Seen(is_arm, reward.astype(np.float64), at)
    period = np.arange(world.labels) // world.period
    unit = period * world.users + who
    if rule == "first of each period":
        seen = SeenUnits()
        # A user's number is as good as a hash below the limit of memory.
        pairs = zip(who.tolist(), period.tolist(), strict=True)
        is_first = np.array([note_unit(seen, user, number) for user, number in pairs])
        return Seen(is_arm[is_first], reward[is_first].astype(np.float64), at[is_first])
    _, first, of = np.unique(unit, return_index=True, return_inverse=True)
    value = np.bincount(of, weights=reward) / np.bincount(of)
    order = np.argsort(first)
    ends = np.minimum((period[first][order] + 1) * world.period, world.labels) - 1
    return Seen(is_arm[first][order], value[order], at[ends])


def blocks_of(seen: Seen, margin: float) -> tuple[Floats, Ints]:
    """Bet on the blocks of one route; log growth, shape (blocks, stakes), and the arm's labels."""
    closes = np.flatnonzero(seen.is_arm[1:] & ~seen.is_arm[:-1]) + 1
    own = np.cumsum(seen.is_arm)[closes]
    own_sum = np.cumsum(np.where(seen.is_arm, seen.value, 0.0))[closes]
    all_sum = np.cumsum(seen.value)[closes]
    ends = np.stack([own, own_sum, closes + 1 - own, all_sum - own_sum])
    count, total, other, other_total = np.diff(ends, axis=1, prepend=0.0)
    growth = log_growth(total / count - other_total / other, count, other, margin)
    return growth, seen.at[closes]


def alarms(
    rng: np.random.Generator, world: World, routes: int, rule: str, margin: float = MARGIN
) -> dict[str, Floats]:
    """Return the arm's labels at each route's first alarm, infinite without one, by threshold."""
    found = []
    for _ in range(routes):
        who, is_arm, reward = draw_route(rng, world)
        found.append(blocks_of(seen_by(rule, world, who, is_arm, reward), margin))
    most = max(len(at) for _, at in found)
    looks = Looks(
        np.zeros((most, routes, len(STAKES))),
        np.zeros((most, routes), np.int64),
        np.zeros((most, routes), np.int64),
    )
    for route, (growth, at) in enumerate(found):
        looks.growth[: len(at), route] = growth
        looks.steps[: len(at), route] = 1
        looks.at[: len(at), route] = at
    evidence = log_evidence(looks)
    return {name: first_alarm(looks, evidence, nats) for name, nats in THRESHOLDS.items()}


def equal_rows(routes: int, seed: int, labels: int, margin: float) -> Iterator[str]:
    """Table of false rollbacks of an arm that is as good as its champion."""
    yield "| arm's share | a user's arm is drawn | the guard sees | alone, at 0.01 | second arm |"
    yield "|---:|---|---|---:|---:|"
    for share in (0.5, 0.9, 0.1):
        for is_redrawn in (True, False):
            world = World(
                labels=labels, users=3000, period=1000, share=share, is_redrawn=is_redrawn
            )
            for rule in RULES:
                rng = np.random.default_rng([seed, round(share * 10), is_redrawn])
                at = alarms(rng, world, routes, rule, margin)
                shares = " | ".join(f"{np.isfinite(at[name]).mean():.1%}" for name in THRESHOLDS)
                drawn = "each period" if is_redrawn else "once"
                yield f"| {share:.0%} | {drawn} | {rule} | {shares} |"


def wait_rows(routes: int, seed: int) -> Iterator[str]:
    """Table of the broken arm's labels until its rollback, as second arm."""
    yield (
        "| break | arm's share | labels in a period | users in a period | independent requests | "
        "first of each period | mean of each period |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for (good, bad), share, period in (
        ((0.95, 0.5), 0.9, 1000),
        ((0.9, 0.8), 0.9, 1000),
        ((0.9, 0.8), 0.5, 1000),
        ((0.9, 0.8), 0.5, 300),
        ((0.9, 0.8), 0.5, 5000),
    ):
        before = 10_000
        base = World(
            labels=round((before + (30_000 if share > 0.5 else 12_000)) / share), users=30_000,
            period=period, share=share, good=good, bad=bad, breaks_after=before,
            deviation=0.1 if good < 0.95 else 0.05,
        )  # fmt: skip
        alone = World(**{**vars(base), "is_sticky": False, "deviation": 0.0})
        cells = []
        for rule, world in (
            ("every label", alone),
            ("first of each period", base),
            ("mean of each period", base),
        ):
            rng = np.random.default_rng([seed, period, round(share * 10)])
            waited = alarms(rng, world, routes, rule)["second arm"] - before
            cells.append(float(np.median(waited[waited > 0])))
        rng = np.random.default_rng(seed)
        who = draw_route(rng, base)[0]
        users = np.mean(
            [len(np.unique(part)) for part in np.split(who, range(period, len(who), period))]
        )
        costs = [f"{cells[0]:,.0f}", *(f"{c:,.0f} ({c / cells[0]:.1f})" for c in cells[1:])]
        yield (
            f"| {good} to {bad} | {share:.0%} | {period:,} | {users:,.0f} | "
            + " | ".join(costs)
            + " |"
        )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=1000, help="with equal arms, of each row")
    parser.add_argument("--labels", type=int, default=20_000, help="of such a route")
    parser.add_argument("--margin", type=float, default=MARGIN, help="with equal arms")
    parser.add_argument("--detections", type=int, default=200, help="routes with a broken arm")
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    for row in equal_rows(options.routes, options.seed, options.labels, options.margin):
        print(row, flush=True)
    print()
    for row in wait_rows(options.detections, options.seed):
        print(row, flush=True)


if __name__ == "__main__":
    main()
