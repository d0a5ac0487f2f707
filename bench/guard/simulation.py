"""Many simulated routes at once, guarded by the same bets as the product's.

A route is a sequence of labels, each of the arm or of its champion. A block of concurrent labels
closes at a label of the arm that follows one of the champion, which is what
``policies.guard.evidence.observe`` does; capital is woken at a look, as in ``settle``. A test
compares the two, route by route.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.guard.betting import (
    STAKES,
    STRIDE,
    log_growth,
    log_growth_below,
    log_wealth,
    wake,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEVER: Final = np.inf
_NOTHING: Final = -700.0  # log capital, as in policies.guard.evidence
BATCH: Final = 100
"""Rewards of a route from one look to the next, unless it looks at each."""
MARGINS: Final = (0.0, 0.02)
_WINDOW: Final = 100  # labels of each side that the fixed threshold looks at
_GAP: Final = 0.05
_HORIZON: Final = 1000  # labels of the arm at which the z-test is made for
_Z: Final = 2.3263478740408408  # one-sided, alpha 0.01


@dataclass(frozen=True, slots=True)
class Labels:
    """What routes saw; all of shape (routes, labels)."""

    is_arm: Bools  # else of its champion
    reward: Bools
    own_count: Ints  # labels of the arm so far
    own_sum: Ints  # their rewards

    @classmethod
    def of(cls, is_arm: Bools, reward: Bools) -> "Labels":
        """Count along the way."""
        own_count = np.cumsum(is_arm, axis=1, dtype=np.int64)
        return cls(is_arm, reward, own_count, np.cumsum(is_arm & reward, axis=1, dtype=np.int64))

    def swapped(self) -> "Labels":
        """Return the same labels from the champion's side."""
        return Labels.of(~self.is_arm, self.reward)


@dataclass(frozen=True, slots=True)
class Looks:
    """What is bet between one look and the next; looks that see nothing new are left out."""

    growth: Floats  # shape (looks, routes, stakes), nats
    steps: Ints  # shape (looks, routes): blocks or labels seen; 0 after a route's last look
    at: Ints  # shape (looks, routes): labels of the route so far


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Observations in the order of routes, then of time, cut at the looks."""

    first: Ints  # index of the first observation of each look
    row: Ints  # its route
    column: Ints  # its rank among the looks of that route
    at: Ints

    def spread(self, routes: int, growth: Floats, steps: Ints) -> Looks:
        shape = (int(self.column.max(initial=-1)) + 1, routes)
        looks = Looks(
            np.zeros((*shape, len(STAKES))), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        )
        looks.growth[self.column, self.row] = growth
        looks.steps[self.column, self.row] = steps
        looks.at[self.column, self.row] = self.at
        return looks


def world(pattern: str, rate: float, labels: int) -> tuple[Floats, Floats]:
    """The arm's share and everyone's mean reward, by label of the route."""
    at = np.arange(labels, dtype=np.float64)
    share, mean = np.full(labels, 0.5), np.full(labels, rate)
    fifth = np.minimum(at / (labels / 5), 1.0)
    if pattern.startswith("falling"):
        mean = rate - (rate - 0.5) * fifth
    if pattern.startswith("waves"):
        mean = rate - 0.2 * (1 - np.cos(2 * np.pi * at / (labels / 5)))
    if pattern == "falling, ramp":
        share = 0.05 + 0.45 * fifth
    if pattern == "waves, ramp":
        share = 0.05 + 0.45 * at / labels
    return share, mean


def draw(
    rng: np.random.Generator,
    routes: int,
    share: Floats,
    arm: Floats,
    champion: Floats,
    good: int = 0,
) -> Labels:
    """Draw labels by the share and means at each; the arm is good for ``good`` labels first."""
    shape = (routes, len(share))
    is_arm = rng.random(shape) < share
    is_bad = is_arm & (np.cumsum(is_arm, axis=1) > good) if good else is_arm
    return Labels.of(is_arm, rng.random(shape) < np.where(is_bad, arm, champion))


def against_champion(labels: Labels, margin: float, every: int) -> Looks:
    """Bet that the arm is worse than its champion."""
    closes = np.zeros_like(labels.is_arm)
    closes[:, 1:] = labels.is_arm[:, 1:] & ~labels.is_arm[:, :-1]
    route, position, grouped = _group(closes, every)
    own_count, own_sum = labels.own_count[route, position], labels.own_sum[route, position]
    all_sum = np.cumsum(labels.reward, axis=1, dtype=np.int64)[route, position]
    ends = np.stack([own_count, own_sum, position + 1 - own_count, all_sum - own_sum])
    begins = np.zeros_like(ends)
    is_same = route[1:] == route[:-1]
    begins[:, 1:] = np.where(is_same, ends[:, :-1], 0)
    own, own_reward, other, other_reward = (ends - begins).astype(np.float64)
    growth = log_growth(own_reward / own - other_reward / other, own, other, margin)
    routes = len(labels.is_arm)
    if not len(route):
        return grouped.spread(routes, growth, grouped.first)
    steps = np.diff(grouped.first, append=len(route))
    return grouped.spread(routes, np.add.reduceat(growth, grouped.first, axis=0), steps)


def against_level(labels: Labels, level: float, every: int) -> Looks:
    """Bet that the arm is below a level."""
    route, position, grouped = _group(labels.is_arm, every)
    steps = np.diff(grouped.first, append=len(route))
    total = np.add.reduceat(labels.reward[route, position].astype(np.float64), grouped.first)
    growth = log_growth_below(steps.astype(np.float64), total, level)
    return grouped.spread(len(labels.is_arm), growth, steps)


def _group(is_seen: Bools, every: int) -> tuple[Ints, Ints, _Grouped]:
    whole = is_seen.shape[1] // every * every  # what comes after the last look is not looked at
    route, position = np.nonzero(is_seen[:, :whole])
    look = position // every
    is_new = np.ones(len(route), dtype=np.bool_)
    is_new[1:] = (route[1:] != route[:-1]) | (look[1:] != look[:-1])
    first = np.flatnonzero(is_new)
    row = route[first]
    column = np.arange(len(row)) - np.searchsorted(row, row)
    return route, position, _Grouped(first, row, column, (look[first] + 1) * every)


def log_evidence(looks: Looks) -> Floats:
    """Return the log wealth after each look, shape (looks, routes).

    The product gives capital far beyond the threshold away; that changes nothing up to the first
    alarm, so it is left out here.
    """
    routes = looks.steps.shape[1]
    active = np.full((routes, len(STAKES)), _NOTHING)
    starts, steps = np.zeros(routes, np.int64), np.full(routes, STRIDE)
    evidence = np.zeros(looks.steps.shape)
    for i, seen in enumerate(looks.steps):
        is_due = (steps >= STRIDE) & (seen > 0)
        if is_due.any():
            active = np.where(is_due[:, None], wake(active, starts), active)
            starts = starts + is_due
            steps = np.where(is_due, 0, steps)
        active = active + looks.growth[i]
        steps = steps + seen
        evidence[i] = log_wealth(active, starts)
    return evidence


def half_asleep(evidence: Floats) -> Floats:
    """Return the evidence where half of the capital sleeps, since nobody is suspected."""
    return np.logaddexp(evidence, 0.0) - np.log(2)


def first_alarm(looks: Looks, evidence: Floats, threshold: float) -> Floats:
    """Return how many labels each route had when its arm was first called harmful."""
    return _first(evidence >= threshold, looks.at)


def _first(is_alarm: Bools, at: Ints) -> Floats:
    if not len(is_alarm):
        return np.full(is_alarm.shape[1], NEVER)
    where = is_alarm.argmax(axis=0)
    rows = np.arange(is_alarm.shape[1])
    return np.where(is_alarm[where, rows], at[where, rows].astype(np.float64), NEVER)


def waits(labels: Labels, at: Floats, good: int) -> Floats:
    """Labels of the arm since it broke; at most 0 for a false alarm before."""
    found = np.isfinite(at)
    rows = np.flatnonzero(found)
    waits = at.copy()
    waits[rows] = labels.own_count[rows, at[rows].astype(np.int64) - 1] - good
    return waits


def kl(p: float | Floats, q: float | Floats) -> Floats:
    """Kullback-Leibler divergence of two coins, nats."""
    first, second = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    divergence: Floats = first * np.log(first / second)
    return divergence + (1 - first) * np.log((1 - first) / (1 - second))


def bound(good: float, bad: float, share: float | None, margin: float, alpha: float) -> float:
    """Labels of the arm that any test at alpha needs on average: against the champion or a floor.

    Against the champion, whose level is not known, the closest world in which the arm is tolerable
    has the champion at some ``m`` and the arm at ``m - margin``.
    """
    if share is None:
        return math.log(1 / alpha) / float(kl(bad, good))
    m = np.linspace(bad + margin, good, 100_001)
    nats = kl(bad, m - margin) + (1 - share) / share * kl(good, m)
    return math.log(1 / alpha) / float(nats.min())


def simple_rules(labels: Labels, every: int) -> dict[str, Floats]:
    """Return how many labels each route had when simpler rules first rolled its arm back."""
    ends = np.arange(every, labels.is_arm.shape[1] + 1, every)
    sides = (labels, labels.swapped())
    count = np.stack([side.own_count[:, ends - 1].T for side in sides]).astype(np.float64)
    total = np.stack([side.own_sum[:, ends - 1].T for side in sides]).astype(np.float64)
    at = np.broadcast_to(ends[:, None], count.shape[1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, pooled = total / count, total.sum(axis=0) / count.sum(axis=0)
        error = np.sqrt(pooled * (1 - pooled) * (1 / count).sum(axis=0))
        is_worse = np.nan_to_num((mean[1] - mean[0]) / error, nan=0.0, posinf=0.0) >= _Z
    recent = np.stack([_recent(side, ends) for side in sides])
    is_ripe = count[0] >= _HORIZON
    is_now = is_ripe & ~np.vstack([np.zeros_like(is_ripe[:1]), is_ripe[:-1]])
    return {
        "threshold": _first(recent[1] - recent[0] > _GAP + 1e-9, at),  # 0.05 itself is not more
        "once": _first(is_now & is_worse, at),
        "peeked": _first(is_worse, at),
    }


def _recent(side: Labels, ends: Ints) -> Floats:
    """Mean of the last labels of one side; not a number while there are too few."""
    route, position = np.nonzero(side.is_arm)
    padded = np.zeros((len(side.is_arm), int(side.own_count[:, -1].max()) + 1))
    padded[route, side.own_count[route, position]] = side.own_sum[route, position]
    now = side.own_count[:, ends - 1].T
    rows = np.arange(len(padded))
    total = padded[rows, now] - padded[rows, np.maximum(now - _WINDOW, 0)]
    return np.where(now >= _WINDOW, total / _WINDOW, np.nan)


def equal_arms(
    rng: np.random.Generator, routes: int, *, pattern: str, rate: float, labels: int
) -> dict[str, Floats]:
    """The most evidence that ever came up against an arm as good as its champion and the floor."""
    share, mean = world(pattern, rate, labels)
    seen = draw(rng, routes, share, mean, mean)
    most = {}
    for every in (1, BATCH):
        for margin in MARGINS:
            looks = against_champion(seen, margin, every)
            most[f"champion {margin} {every}"] = half_asleep(log_evidence(looks)).max(axis=0)
        if pattern == "steady":
            for name, side in (("floor", seen), ("champion's floor", seen.swapped())):
                looks = against_level(side, rate, every)
                most[f"{name} {every}"] = log_evidence(looks).max(axis=0)
    return most


def beside_rules(
    rng: np.random.Generator,
    routes: int,
    *,
    change: tuple[float, float],
    good: int,
    labels: int,
    threshold: float,
) -> dict[str, Floats]:
    """The same for simpler rules and the guard, with a look after every batch."""
    one = np.ones(labels)
    seen = draw(rng, routes, one / 2, change[1] * one, change[0] * one, good)
    alarms = simple_rules(seen, BATCH)
    for margin in MARGINS:
        looks = against_champion(seen, margin, BATCH)
        evidence = half_asleep(log_evidence(looks))
        alarms[f"guard {margin}"] = first_alarm(looks, evidence, threshold)
    return {name: waits(seen, at, good) for name, at in alarms.items()}
