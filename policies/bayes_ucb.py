"""Bayes-UCB: optimism by a quantile of the posterior."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv

from policies.eligibility import eligible_arms, share_equally, weights_on
from policies.statistics import ArmStats
from policies.thompson import check_prior
from policies.water_filling import check_spread, fill

__all__ = ["BayesUcb"]

Float64: TypeAlias = NDArray[np.float64]

_SEGMENTS: Final = 6  # of each arm's index between now and the last virtual pull
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
        counts, sums = arms.count[at], arms.reward_sum[at]
        prior = self.alpha + self.beta
        rates = np.full(len(at), self.alpha / prior)
        np.divide(sums, counts, out=rates, where=counts > 0)
        tail = 1.0 / max(2.0, math.fsum(counts.tolist()) + self.spread)
        whole = (counts + prior)[:, None]
        growth = 1.0 + self.spread / whole
        now = self._index(whole, rates, tail)[:, 0]
        last = self._index(whole * growth, rates, tail)[:, 0]
        rival = np.flatnonzero(np.maximum(now, last) >= last.max())
        nodes = whole[rival] * growth[rival] ** (np.arange(_SEGMENTS + 1) / _SEGMENTS)
        indices = self._index(nodes, rates[rival], tail)
        pulls = _fill(nodes, indices, float(self.spread))
        return weights_on(arms.n_arms, at[rival], pulls)

    def _index(self, whole: Float64, rates: Float64, tail: float) -> Float64:
        """Upper quantile of the posterior of each arm (rows) at counts that include the prior."""
        labels = whole - (self.alpha + self.beta)
        successes = self.alpha + labels * rates[:, None]
        failures = self.beta + labels * np.maximum(1.0 - rates[:, None], 0.0)
        quantiles: Float64 = betainccinv(successes, failures, tail)
        return quantiles


def _fill(nodes: Float64, indices: Float64, spread: float) -> list[float]:
    """Fill with indices given at rising counts, one row an arm."""
    falling = np.maximum.accumulate(indices[:, ::-1], axis=1)[:, ::-1]
    falling = falling - _TILT * np.arange(nodes.shape[1])
    levels, inverse_roots = (-falling).tolist(), (1.0 / np.sqrt(nodes)).tolist()
    starts = nodes[:, 0].tolist()

    def needed(arm: int, level: float) -> tuple[float, float]:
        at = bisect_right(levels[arm], -level)
        if at == 0:
            return starts[arm], 0.0
        at = min(at, _SEGMENTS)
        high, low = -levels[arm][at - 1], -levels[arm][at]
        first, second = inverse_roots[arm][at - 1], inverse_roots[arm][at]
        rate = (first - second) / (high - low)
        root = max(second, second + (level - low) * rate)
        return 1.0 / (root * root), -2.0 * rate / (root * root * root)

    return fill(starts, needed, spread, float(falling[:, -1].max()), float(falling[:, 0].max()))
