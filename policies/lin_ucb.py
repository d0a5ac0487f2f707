"""LinUCB: optimism about a linear model of the reward on the context."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.linear_model import check_positive, predict
from leverframe.policies.statistics import ArmStats
from leverframe.policies.water_filling import check_spread

__all__ = ["LinUcb"]

Float64: TypeAlias = NDArray[np.float64]

_MOST_STEPS: Final = 50
_TOLERANCE: Final = 1e-10  # of the pulls to divide
_ROUNDING: Final = 2e-15  # of the counts
_TIE: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUcb:
    """Pull the arms whose reward could be highest: ``theta' x + alpha sqrt(x' A^-1 x)``.

    Parameters
    ----------
    ridge : float
        Weight of the prior ``theta = 0``, in labels at a context of length 1, positive; 1 as in the
        paper.
    alpha : float
        Width of the confidence bound in units of ``sqrt(x' A^-1 x)``, positive. The paper's
        ``1 + sqrt(log(2 / delta) / 2)`` at delta = 0.05 by default.
    spread : int
        Virtual pulls that one set of weights is made for, at least 1, divided equally among the
        latest contexts; ours. Towards 0 it would be the paper's single pull per context.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Li, Chu, Langford and Schapire (2010), A contextual-bandit approach to personalized news article
    recommendation, WWW, algorithm 1 (disjoint linear models).
    """

    name: ClassVar[str] = "lin_ucb"
    ridge: float = 1.0
    alpha: float = 1.0 + math.sqrt(math.log(2.0 / 0.05) / 2.0)
    spread: int = 100

    def __post_init__(self) -> None:
        """Refuse a ridge or width that is not positive and a spread below one pull."""
        check_positive(self.name, "ridge", self.ridge)
        check_positive(self.name, "alpha", self.alpha)
        check_spread(self.name, self.spread)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return each arm's share of the next ``spread`` pulls, over the latest contexts.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): together 1; 0 for arms that would be pulled at none of the contexts.

        Notes
        -----
        A pull at x turns ``x' A^-1 x`` from 1/c into 1/(c + 1), so at each context the indices come
        down as UCB1's do, and water filling divides the pulls. A single pull per context would make
        ties and near ties jump, and send everything one way where contexts hardly differ. Weights
        are for the route as a whole: an arm that is best for some contexts gets their share of the
        traffic, not these requests. Without contexts the feature is a constant 1. The model has no
        intercept: put a 1 among the features.

        Examples
        --------
        >>> LinUcb().propensities(ArmStats.of([99, 99], [50, 55]), 0).round(3)
        array([0.126, 0.874])
        """
        del now_ms
        at = eligible_arms(arms)
        mean, variance, copies = predict(arms, at, self.ridge)
        means, counts = mean.T / self.alpha, 1.0 / variance.T
        taken = _fill(means, counts, copies * (self.spread / float(copies.sum())))
        total = np.add.reduce(taken)
        if (total > 0).all():
            return weights_on(arms.n_arms, at, taken @ (copies / total))
        # Counts so high that one more pull changes no bit: the highest indices share.
        index = means - means.max(axis=0) + 1.0 / np.sqrt(counts)
        leads = index >= index.max(axis=0) - _TIE
        shares = np.where(total > 0, taken / np.where(total > 0, total, 1.0), leads / leads.sum(0))
        return weights_on(arms.n_arms, at, shares @ copies)


def _fill(means: Float64, counts: Float64, pulls: Float64) -> Float64:
    """Pulls of E arms (rows) at each of D contexts, by indices of the form ``mean + count^-0.5``.

    What ``water_filling.fill`` does, at all contexts at once. Over the arms above a level,
    ``(sum of distance^-2)^-0.5`` is concave in the level, so that Newton's steps on it never pass
    the level sought; arms that drop out only raise that. The first level is the one at which one
    arm alone would take all pulls, never too high.
    """
    gaps = np.maximum.reduce(means) - means
    level = np.maximum.reduce(1.0 / np.sqrt(counts + pulls) - gaps)
    close_enough = _TOLERANCE * pulls
    for _ in range(_MOST_STEPS):
        inverse = 1.0 / (level + gaps)
        needed = inverse * inverse
        taken: Float64 = np.maximum(needed - counts, 0.0)
        excess = np.add.reduce(taken) - pulls
        if (excess <= close_enough).all():
            break
        needed *= taken > 0
        inverse *= needed
        total, slope = np.add.reduce(needed), np.add.reduce(inverse)
        present = total - excess
        level = level + total * (np.sqrt(total / present) - 1.0) / (slope + (slope == 0))
        close_enough = _TOLERANCE * pulls + _ROUNDING * present
    return taken
