"""Bayes-UCB: optimism by a quantile of the posterior."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainccinv

from policies.eligibility import eligible_arms, weights_on
from policies.statistics import ArmStats
from policies.thompson import check_prior
from policies.water_filling import check_spread, fill_square_root

__all__ = ["BayesUcb"]

Float64: TypeAlias = NDArray[np.float64]

_MOST_ROUNDS: Final = 8
_CLOSE: Final = 1e-4


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
        stands at its prior.

        Examples
        --------
        >>> BayesUcb().propensities(ArmStats.of([100, 100], [50, 60]), 0).round(3)
        array([0., 1.])
        """
        del now_ms
        at = eligible_arms(arms)
        counts, sums = arms.count[at], arms.reward_sum[at]
        pulls = np.zeros(len(at))
        if len(at) == 1:
            return weights_on(arms.n_arms, at, pulls + 1.0)
        prior = self.alpha + self.beta
        has_labels = counts > 0
        rate = np.where(has_labels, sums / np.maximum(counts, 1e-300), self.alpha / prior)
        tail = 1.0 / max(2.0, math.fsum(counts.tolist()) + self.spread)
        weight = counts + prior
        for _ in range(_MOST_ROUNDS):
            before = pulls
            pulls = self._fill(weight, rate, before, tail)
            if np.abs(pulls - before).max() <= _CLOSE * self.spread:
                break
        return weights_on(arms.n_arms, at, pulls)

    def _fill(self, weight: Float64, rate: Float64, pulls: Float64, tail: float) -> Float64:
        """Fill with each index's width in standard deviations taken at the last round's counts."""
        whole = weight + pulls
        successes = self.alpha + (whole - self.alpha - self.beta) * rate
        mean = successes / whole
        quantile = betainccinv(successes, np.maximum(whole - successes, self.beta), tail)
        width = np.maximum(quantile - mean, 1e-12) * np.sqrt(whole)
        filled = fill_square_root(mean.tolist(), width.tolist(), weight.tolist(), self.spread)
        return np.array(filled)
