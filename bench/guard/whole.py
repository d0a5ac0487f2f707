"""Whole routes: weights that follow labels, promotions, newcomers, probations, rollbacks.

Thompson sampling is drawn, one draw a request: the same law as the product's propensities. Left out
of the product: weighing at most once a second, the step limit, label delays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from bench.guard.arrays import DOUBT, Bools, Floats, Guarded, Ints
from leverframe.policies.guard.suspicion import FADED

__all__ = ["Outcome", "World", "run"]

FLOOR: Final = 0.02
NURSERY: Final = 0.1
NURSERY_LABELS: Final = 50
_DRAWS: Final = 256
_NOBODY: Final = -1


@dataclass(frozen=True)
class World:
    """What routes meet.

    ``means`` is asked at a label for the mean of each arm, shape (routes, arms), and told the
    labels of each so far. ``shares`` are fixed ones; None: Thompson. ``births`` are the labels at
    which arms join. ``is_succeeded``: the second arm is champion, the first the last known good.
    """

    arms: int
    labels: int
    means: Callable[[int, Floats], Floats]
    shares: tuple[float, ...] | None = None
    births: tuple[int, ...] | None = None
    probation_share: float = 0.5
    promote: bool = False
    is_succeeded: bool = False


@dataclass
class Outcome:
    """What became of the routes, shape (routes, arms); infinite where nothing did."""

    rolled_at: Floats
    labels_then: Floats
    heir_was: Floats
    requests: Floats
    on_probation: Floats
    promotions: Ints = field(default_factory=lambda: np.zeros(0, np.int64))


class _Routes:
    """Routes under way."""

    def __init__(self, rng: np.random.Generator, routes: int, world: World) -> None:
        self.rng, self.world, self.routes = rng, world, routes
        shape = (routes, world.arms)
        self.guard = Guarded(routes, world.arms, suspects=world.probation_share > 0)
        self.eligible, self.grown = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        self.champion = np.zeros(routes, np.int64)
        self.reserve = np.full(routes, _NOBODY)
        self.probation = np.full(routes, _NOBODY)
        self.bound = np.zeros(routes)
        self.all = np.arange(routes)
        self.out = Outcome(
            np.full(shape, np.inf),
            np.full(shape, np.inf),
            np.full(shape, np.inf),
            np.zeros(routes),
            np.zeros(routes),
            np.zeros(routes, np.int64),
        )

    def join(self, k: int) -> None:
        self.eligible[:, k] = True
        self.grown[:, k] = k == 0 or self.world.shares is not None
        self.refer(self.all)

    def refer(self, rows: Ints) -> None:
        """Look references up, as ``streams.learning.heirs.reference_of`` does."""
        guard = self.guard
        for k in range(self.world.arms):
            at = rows[self.eligible[rows, k]]
            if not len(at):
                continue
            is_champion = self.champion[at] == k
            wanted = np.where(is_champion, self._beside(at, k), self.champion[at])
            new = (wanted != guard.reference[at, k]) & (wanted != _NOBODY)
            if new.any():
                guard.hold_against(at[new], np.full(int(new.sum()), k), wanted[new])

    def _beside(self, rows: Ints, k: int) -> Ints:
        """The reference of a champion: the one it has, while that is sound, or who is best."""
        known = self.guard.reference[rows, k]
        sound = self.eligible & self.grown & (self.guard.against < DOUBT)
        best = self.heir(rows, np.full(len(rows), k))
        held = known != _NOBODY
        has = held & sound[rows, known]
        keep = held & self.eligible[rows, known] & ~sound[rows, np.maximum(best, 0)]
        return np.where(has | keep, known, best)

    def heir(self, rows: Ints, leaving: Ints) -> Ints:
        """Who would stand in; nobody where no other is eligible."""
        guard = self.guard
        count = np.maximum(guard.count[rows], 1)
        mean = guard.total[rows] / count
        rank = mean - 2 * np.sqrt(np.maximum(mean * (1 - mean), 1 / count) / count)
        at = np.arange(len(rows))
        rank[at, self.champion[rows]] += 20
        good = self.reserve[rows] != _NOBODY
        rank[at[good], self.reserve[rows][good]] += 10
        rank += 100 * (guard.against[rows] < DOUBT) + 1000 * self.grown[rows]
        rank += 10_000 * (guard.against[rows] < guard.threshold)
        rank[~self.eligible[rows]] = -np.inf
        rank[at, leaving] = -np.inf
        best = rank.argmax(axis=1)
        return np.where(np.isfinite(rank[at, best]), best, _NOBODY)

    def wanted(self, rows: Ints) -> Floats:
        """What the policy gives each arm, by draws."""
        least, policy = self._least(rows)
        if self.world.shares is not None:
            shares = np.where(self.eligible[rows], np.array(self.world.shares), 0.0)
            return shares / shares.sum(axis=1, keepdims=True)
        guard = self.guard
        draws = self.rng.beta(
            1 + guard.total[rows], 1 + guard.count[rows] - guard.total[rows], (_DRAWS, *least.shape)
        )
        draws[:, ~self.grown[rows]] = -1.0
        chosen = draws.argmax(axis=2)
        shares = np.stack([(chosen == k).mean(axis=0) for k in range(self.world.arms)], axis=1)
        return least + policy[:, None] * shares

    def _least(self, rows: Ints) -> tuple[Floats, Floats]:
        """Floors and nursery shares, and what is left for the policy."""
        eligible, grown = self.eligible[rows], self.grown[rows]
        n, young = eligible.sum(axis=1), (eligible & ~grown).sum(axis=1)
        floor = np.minimum(FLOOR, 0.1 / n)[:, None]
        nursery = np.minimum(np.minimum(NURSERY, 0.3 / np.maximum(young, 1)), 1 / n)[:, None]
        least = np.where(eligible, np.where(grown, floor, nursery), 0.0)
        return least, 1 - least.sum(axis=1)

    def choose(self) -> Ints:
        rng, rows = self.rng, self.all
        if self.world.shares is not None:
            least = self.wanted(rows)
            chosen = self.champion
        else:
            least, _ = self._least(rows)
            guard = self.guard
            draws = rng.beta(1 + guard.total, 1 + guard.count - guard.total)
            chosen = np.where(self.grown, draws, -1.0).argmax(axis=1)
        at = np.flatnonzero(self.probation >= 0)
        if len(at):
            suspect = self.probation[at]
            reference = self.guard.reference[at, suspect]
            held, _ = self._least(at)
            held[np.arange(len(at)), suspect] = self.bound[at]
            held[np.arange(len(at)), reference] = 0.0
            least[at], chosen = held, chosen.copy()
            chosen[at] = reference
        drawn = (rng.random(self.routes)[:, None] >= np.cumsum(least, axis=1)).sum(axis=1)
        return np.where(drawn < self.world.arms, drawn, chosen)

    def decide(self, at_label: int, arm: Ints, is_on: Bools) -> None:
        rows = self.all[is_on]
        arm, guard = arm[is_on], self.guard
        grows = ~self.grown[rows, arm] & (guard.count[rows, arm] >= NURSERY_LABELS)
        if grows.any():
            self.grown[rows[grows], arm[grows]] = True
            self.refer(rows[grows])
        self._roll_back(at_label, rows, arm)
        self._put_on_probation(rows, arm)
        if self.world.promote:
            self._promote(rows, arm)

    def _roll_back(self, at_label: int, rows: Ints, arm: Ints) -> None:
        guard = self.guard
        harmful = self.eligible[rows, arm] & (guard.against[rows, arm] >= guard.threshold[arm])
        at, of = rows[harmful], arm[harmful]
        if not len(at):
            return
        heir = self.heir(at, of)
        fallen = guard.suspected[at, of] & (guard.fall[at, of].max(axis=1) >= FADED)
        outdone = (of == self.champion[at]) & ~fallen
        outdone &= self.world.promote & (guard.reference[at, of] != self.reserve[at])
        can = (heir != _NOBODY) & ~outdone
        can &= self.grown[at, np.maximum(heir, 0)]
        can &= guard.against[at, heir] < guard.threshold[heir]
        at, of, heir = at[can], of[can], heir[can]
        self.eligible[at, of] = self.grown[at, of] = False
        self.out.rolled_at[at, of] = at_label
        self.out.labels_then[at, of] = guard.count[at, of]
        self.out.heir_was[at, of] = heir
        guard.suspected[at, of] = False
        guard.reference[at, of] = _NOBODY
        was = of == self.champion[at]
        self.champion[at[was]] = heir[was]
        gone = (self.reserve[at] == of) | (self.reserve[at] == self.champion[at])
        self.reserve[at[gone]] = _NOBODY
        self.probation[at] = _NOBODY
        self.refer(at)

    def _put_on_probation(self, rows: Ints, arm: Ints) -> None:
        guard = self.guard
        on = np.flatnonzero(self.probation >= 0)
        over = on[~guard.suspected[on, self.probation[on]]]
        self.probation[over] = _NOBODY
        free = guard.suspected[rows, arm] & (self.probation[rows] == _NOBODY)
        at, of = rows[free], arm[free]
        reference = guard.reference[at, of]
        fit = (reference != _NOBODY) & self.grown[at, reference]
        at, of, reference = at[fit], of[fit], reference[fit]
        if not len(at):
            return
        wanted, i = self.wanted(at), np.arange(len(at))
        own, other = wanted[i, of], wanted[i, reference]
        bound = np.minimum(own, self.world.probation_share)
        moves = np.maximum(own - self.world.probation_share, bound - other) > 0.01
        self.probation[at[moves]] = of[moves]
        self.bound[at[moves]] = bound[moves]

    def _promote(self, rows: Ints, arm: Ints) -> None:
        guard, champion = self.guard, self.champion[rows]
        fit = self.grown[rows, arm] & (arm != champion)
        fit &= guard.better[rows, arm] >= guard.threshold[arm]
        fit &= guard.against[rows, arm] < guard.threshold[arm]
        falls = guard.suspected[rows, champion]
        fit &= ~(falls & (guard.fall[rows, champion].max(axis=1) >= FADED))
        at, of, old = rows[fit], arm[fit], champion[fit]
        if not len(at):
            return
        self.champion[at], self.reserve[at] = of, old
        self.out.promotions[at] += 1
        means = guard.total[at] / np.maximum(guard.count[at], 1)
        i = np.arange(len(at))
        guard.tolerance[at] = guard.margin
        guard.tolerance[at, old] += np.maximum(0, means[i, of] - means[i, old])
        guard.hold_against(at, old, of)
        self.probation[at] = _NOBODY
        self.refer(at)


def run(
    rng: np.random.Generator,
    routes: int,
    world: World,
    until: Callable[[Outcome], Bools] | None = None,
) -> Outcome:
    """Run routes to their last label, or each until ``until`` says so."""
    under_way = _Routes(rng, routes, world)
    births = world.births or (0,) * world.arms
    is_on = np.ones(routes, np.bool_)
    for at_label in range(world.labels):
        for k, birth in enumerate(births):
            if birth == at_label:
                under_way.join(k)
        if world.is_succeeded and at_label == 0:
            under_way.champion[:], under_way.reserve[:] = 1, 0
        arm = under_way.choose()
        mean = world.means(at_label, under_way.guard.count)[under_way.all, arm]
        reward = (rng.random(routes) < mean).astype(np.float64)
        under_way.out.requests += is_on
        under_way.out.on_probation += is_on & (under_way.probation >= 0)
        under_way.guard.take(arm, reward, is_on)
        under_way.decide(at_label, arm, is_on)
        if at_label % 64 == 0:
            under_way.refer(under_way.all)
            if until is not None:
                is_on &= ~until(under_way.out)
                if not is_on.any():
                    break
    return under_way.out
