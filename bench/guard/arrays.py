"""The guard of many routes at once, label by label: the product's bets, suspicions and references.

An array version of ``streams.learning.guard`` and ``streams.learning.probation`` with a decision
after every label; a test drives both with the same labels. Rewards are 0 or 1.
"""

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.guard.betting import STAKES, STRIDE, log_growth, log_wealth, wake
from leverframe.policies.guard.suspicion import (
    ENOUGH,
    FADED,
    FALLEN,
    MEMORY,
    SHARED,
    TOO_LONG,
)
from leverframe.policies.guard.verdict import arm_alpha

__all__ = ["DOUBT", "Guarded"]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

DOUBT: Final = math.log(5)
WORSE, BETTER = 0, 1
_NOTHING: Final = -700.0
_SPARE: Final = 3.0
_LEAST: Final = 20
_LOST: Final = np.log1p(-0.99 * STAKES)


@dataclass
class Guarded:
    """Routes with K arms each; axis 0 is the route, axis 1 the arm, in order of registration."""

    routes: int
    arms: int
    margin: float = 0.02
    alpha: float = 0.01
    suspects: bool = True

    def __post_init__(self) -> None:
        shape = (self.routes, self.arms)
        self.count, self.total = np.zeros(shape), np.zeros(shape)
        self.reference = np.full(shape, -1)
        self.tolerance = np.full(shape, self.margin)
        self.block = np.zeros((*shape, 4))
        self.active = np.full((*shape, 2, len(STAKES)), _NOTHING)
        self.starts, self.steps = np.zeros(shape, np.int64), np.full(shape, STRIDE)
        self.woken, self.rouses = (
            np.full((*shape, len(STAKES)), _NOTHING),
            np.zeros(shape, np.int64),
        )
        self.against, self.better = np.zeros(shape), np.zeros(shape)
        self.past = np.zeros((*shape, 2))
        self.fall = np.zeros((*shape, len(STAKES)))
        self.suspected = np.zeros(shape, np.bool_)
        self.began = np.zeros((*shape, 6))
        alphas = np.array([arm_alpha(self.alpha, k + 1) for k in range(self.arms)])
        self.threshold = np.log(1 / alphas)
        self._most = np.log(2 / alphas) + _SPARE
        self._all = np.arange(self.routes)

    def hold_against(self, rows: Ints, arm: Ints, other: Ints) -> None:
        """Give arms a reference, with fresh evidence."""
        self.reference[rows, arm] = other
        self.block[rows, arm] = self._ends(rows, arm)
        self.active[rows, arm], self.woken[rows, arm] = _NOTHING, _NOTHING
        self.steps[rows, arm] = STRIDE
        self.against[rows, arm] = self.better[rows, arm] = 0.0
        self.suspected[rows, arm], self.fall[rows, arm] = False, 0.0

    def take(self, arm: Ints, reward: Floats, is_on: Bools) -> None:
        """Count a label of one arm on each route that goes on, and decide."""
        rows = self._all[is_on]
        arm, reward = arm[is_on], reward[is_on]
        self.count[rows, arm] += 1
        self.total[rows, arm] += reward
        held = self.reference[rows, arm] >= 0
        self._bet(rows[held], arm[held])
        if self.suspects:
            self._look(rows, arm, reward)
            before = self.suspected.copy()
            self._suspect(rows[held], arm[held])
            # One arm after the other, as the product does.
            for k in np.flatnonzero(before.any(axis=0)).tolist():
                at = np.flatnonzero(before[:, k] & is_on)
                if len(at):
                    self._acquit(at, np.full(len(at), k))

    def _ends(self, rows: Ints, arm: Ints) -> Floats:
        other = self.reference[rows, arm]
        return np.stack(
            [
                self.count[rows, arm],
                self.total[rows, arm],
                self.count[rows, other],
                self.total[rows, other],
            ],
            axis=1,
        )

    def _bet(self, rows: Ints, arm: Ints) -> None:
        ends = self._ends(rows, arm)
        block = ends - self.block[rows, arm]
        closes = block[:, 2] > 0
        rows, arm, block = rows[closes], arm[closes], block[closes]
        if not len(rows):
            return
        self.block[rows, arm] = ends[closes]
        own, other = block[:, 0], block[:, 2]
        difference = block[:, 1] / own - block[:, 3] / other
        tolerance = self.tolerance[rows, arm]
        growth = np.stack(
            [
                log_growth(difference, own, other, tolerance),
                log_growth(-difference, own, other, 0.0),
            ],
            axis=1,
        )
        due = self.steps[rows, arm] >= STRIDE
        at, of = rows[due], arm[due]
        self.active[at, of] = wake(self.active[at, of], self.starts[at, of][:, None])
        self.starts[at, of] += 1
        self.steps[at, of] = 0
        most = self._most[arm][:, None]
        active = np.clip(self.active[rows, arm] + growth, _NOTHING, most[..., None])
        self.active[rows, arm] = active
        self.steps[rows, arm] += 1
        starts = self.starts[rows, arm]
        steady = log_wealth(active[:, WORSE], starts)
        self.better[rows, arm] = log_wealth(active[:, BETTER], starts)
        woken = self.rouses[rows, arm] > 0
        self.woken[rows, arm] = np.where(
            woken[:, None],
            np.clip(self.woken[rows, arm] + growth[:, WORSE], _NOTHING, most),
            self.woken[rows, arm],
        )
        other_half = log_wealth(self.woken[rows, arm], self.rouses[rows, arm])
        self.against[rows, arm] = np.logaddexp(steady, other_half) - math.log(2)

    def _look(self, rows: Ints, arm: Ints, reward: Floats) -> None:
        past = self.past[rows, arm]
        count = np.maximum(past[:, 0], 1)
        mean = past[:, 1] / count
        error = np.sqrt(np.maximum(mean * (1 - mean), 1 / count) / count)
        level = np.clip(mean - self.margin / 2 - error, 0.001, 0.999)
        won = np.log1p(0.99 * STAKES * (level / (1 - level))[:, None])
        growth = np.where(reward[:, None] > 0, _LOST, won)
        fall = np.maximum(0, self.fall[rows, arm] + growth)
        self.fall[rows, arm] = np.where((past[:, 0] >= ENOUGH)[:, None], fall, 0.0)
        free = ~self.suspected[rows, arm]
        past = past + np.where(free[:, None], np.stack([np.ones_like(reward), reward], axis=1), 0)
        self.past[rows, arm] = np.where((past[:, :1] >= MEMORY) & free[:, None], past / 2, past)

    def _suspect(self, rows: Ints, arm: Ints) -> None:
        nats, against = self.fall[rows, arm].max(axis=1), self.against[rows, arm]
        begins = ~self.suspected[rows, arm] & ((nats >= FALLEN) | (against >= DOUBT))
        at, of = rows[begins], arm[begins]
        if len(at):
            self.suspected[at, of] = True
            ends = self._ends(at, of)
            other_past = self.past[at, self.reference[at, of]]
            self.began[at, of] = np.concatenate([ends, other_past], axis=1)
            self.block[at, of] = ends
            self.woken[at, of] = wake(self.woken[at, of], self.rouses[at, of])
            self.rouses[at, of] += 1

    def _acquit(self, rows: Ints, arm: Ints) -> None:
        nats, against = self.fall[rows, arm].max(axis=1), self.against[rows, arm]
        began, past = self.began[rows, arm], self.past[rows, arm]
        since = self._ends(rows, arm) - began[:, :4]
        count, total, other_count, other_total = since.T
        with np.errstate(divide="ignore", invalid="ignore"):
            fall = np.maximum(past[:, 1] / past[:, 0] - total / count, self.margin)
            before, after = began[:, 5] / began[:, 4], other_total / other_count
            middle = (before + after) / 2
            spread = np.maximum(middle * (1 - middle), 0.01)
            variance = spread * (1 / began[:, 4] + 1 / other_count)
            ratio = -fall * (2 * (after - before) + fall) / (2 * variance)
        seen = (np.minimum(count, other_count) >= _LEAST) & (began[:, 4] >= ENOUGH)
        faded = nats < FADED
        shared = ~faded & seen & (ratio > SHARED)
        too_long = ~faded & ~shared & (count >= TOO_LONG)
        over = too_long | ((faded | shared) & (against < DOUBT))
        self.suspected[rows[over], arm[over]] = False
        self.fall[rows[over], arm[over]] = 0.0
        anew = over & ~faded
        at, of = rows[anew], arm[anew]
        other = self.reference[at, of]
        self.past[at, of] = since[anew, :2]
        innocent = ~self.suspected[at, other]
        self.past[at[innocent], other[innocent]] = since[anew, 2:][innocent]
        self.fall[at[innocent], other[innocent]] = 0.0
