"""Bayes-UCB: optimism by a quantile of the posterior."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv

from leverframe.policies.eligibility import eligible_arms, share_equally, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import check_prior
from leverframe.policies.water_filling import check_spread, fill

__all__ = ["BayesUcb"]

Float64: TypeAlias = NDArray[np.float64]

_SEGMENTS: Final = 6  # of an arm's index between now and the last virtual pull
_PLAIN_SEGMENTS: Final = 2  # the same where it comes down as the bulk of a posterior does
_PLAIN_GROWTH: Final = 1.15  # of the count, at most
_TILT: Final = 1e-9  # keeps a flat index falling


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesUcb:
    """Pull the arms whose posterior has the highest quantile at ``1 - 1/t``.

    Parameters
    ----------
    alpha, beta : float
        Prior rewards of 1 and of 0, in labels, positive; 1 and 1 (uniform) as in the paper.
    spread : int
        Virtual pulls that one set of weights is made for, at least 1; ours.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Kaufmann, Cappe and Garivier (2012), On Bayesian upper confidence bounds for bandit problems,
    AISTATS, algorithm 1 with c = 0, and theorem 1.
    """

    name: ClassVar[str] = "bayes_ucb"
    alpha: float = 1.0
    beta: float = 1.0
    spread: int = 100

    def __post_init__(self) -> None:
        """Refuse an improper prior and a spread below one pull."""
        check_prior(self.name, "beta", self.alpha, self.beta)
        check_spread(self.name, self.spread)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return each arm's share of the next ``spread`` pulls.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): together 1; 0 for arms whose index stays below the level reached.

        Notes
        -----
        t counts the labels of eligible arms plus ``spread``. The paper proves its bound for c >= 5
        and rewards of 0 and 1, and recommends c = 0 in practice, as here. An arm without labels
        stands at its prior. Quantiles have no closed form: each index is taken exactly at a few
        counts and interpolated over ``1/sqrt(count)``, in which it is nearly straight. Where a
        young arm's index would first rise with more labels, its highest later value counts.

        Examples
        --------
        >>> BayesUcb().propensities(ArmStats.of([100, 100], [50, 60]), 0).round(3)
        array([0., 1.])
        """
        del now_ms
        at = eligible_arms(arms)
        if len(at) == 1:
            return share_equally(arms.n_arms, at)
        counts = arms.count[at]
        have = counts.tolist()
        if min(have) > 0:
            rates = arms.reward_sum[at] / counts
        else:
            rates = np.full(len(at), self.alpha / (self.alpha + self.beta))
            np.divide(arms.reward_sum[at], counts, out=rates, where=counts > 0)
        tail = 1.0 / max(2.0, math.fsum(have) + self.spread)
        now, last = self._index(np.array((counts, counts + self.spread)), rates, tail).tolist()
        reached = max(last)
        rivals = [arm for arm in range(len(at)) if now[arm] >= reached or last[arm] >= reached]
        if len(rivals) == 1:
            return share_equally(arms.n_arms, at[rivals])
        mean = rates.tolist()
        nodes = [
            self._nodes(have[arm], now[arm] - mean[arm], last[arm] - mean[arm]) for arm in rivals
        ]
        inner = [count for row in nodes for count in row[1:-1]]
        owners = [arm for arm, row in zip(rivals, nodes, strict=True) for _ in row[1:-1]]
        prior = self.alpha + self.beta
        between = iter(self._index(np.array(inner) - prior, rates[owners], tail).tolist())
        indices = [
            [now[arm], *islice(between, len(row) - 2), last[arm]]
            for arm, row in zip(rivals, nodes, strict=True)
        ]
        return weights_on(arms.n_arms, at[rivals], _fill(nodes, indices, float(self.spread)))

    def _index(self, labels: Float64, rates: Float64, tail: float) -> Float64:
        """Upper quantile of the posterior of each arm (last axis) at some counts of labels."""
        successes = labels * rates + self.alpha
        failures = labels * np.maximum(1.0 - rates, 0.0) + self.beta
        quantiles: Float64 = betainccinv(successes, failures, tail)
        return quantiles

    def _nodes(self, labels: float, now: float, last: float) -> list[float]:
        """Counts, the prior's among them, from one to the other; indices given from the mean."""
        whole = labels + self.alpha + self.beta
        growth = 1.0 + self.spread / whole
        fall = 1.0 - growth**-0.5  # of a bound that is straight in 1/sqrt(count)
        is_plain = growth < _PLAIN_GROWTH and 0.0 < last < now - 0.5 * fall * now
        segments = _PLAIN_SEGMENTS if is_plain else _SEGMENTS
        ratio = growth ** (1.0 / segments)
        return [whole * ratio**node for node in range(segments + 1)]


def _fill(nodes: list[list[float]], indices: list[list[float]], spread: float) -> list[float]:
    """Fill with indices given at rising counts, one row an arm."""
    levels = [_rising(row) for row in indices]
    roots = [[count**-0.5 for count in row] for row in nodes]
    starts = [row[0] for row in nodes]

    def needed(arm: int, level: float) -> tuple[float, float]:
        rising, inverse_roots = levels[arm], roots[arm]
        at = min(bisect_right(rising, -level), len(rising) - 1)
        if at == 0:
            return starts[arm], 0.0
        low, first, second = -rising[at], inverse_roots[at - 1], inverse_roots[at]
        rate = (first - second) / (rising[at] - rising[at - 1])
        root = max(second, second + (level - low) * rate)
        return 1.0 / (root * root), -2.0 * rate / (root * root * root)

    low, high = -min(row[-1] for row in levels), -min(row[0] for row in levels)
    return fill(starts, needed, spread, low, high)


def _rising(indices: list[float]) -> list[float]:
    """Minus the highest index at each node or a later one, tilted so that none are equal."""
    highest = list(accumulate(reversed(indices), max))[::-1]
    return [_TILT * node - index for node, index in enumerate(highest)]
