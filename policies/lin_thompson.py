"""Thompson sampling on a linear model of the reward on the context."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.linear_model import check_positive, predict
from leverframe.policies.quadrature_normals import best_of_normals_by_row
from leverframe.policies.statistics import ArmStats

__all__ = ["LinThompson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinThompson:
    """Choose each arm as often as it is likely to be the best one for a recent context.

    Parameters
    ----------
    ridge : float
        Weight of the prior ``theta = 0``, in labels at a context of length 1, positive; 1 as in the
        paper.
    v : float
        Standard deviation of a reward around its linear model, positive. 0.5 by default, ours: the
        largest that rewards in [0, 1] can have. The paper's theorem asks for
        ``v = 0.5 sqrt(9 d log(t / delta))``, far wider than anyone uses.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Agrawal and Goyal (2013), Thompson sampling for contextual bandits with linear payoffs, ICML,
    algorithm 1; here with one theta per arm, as in Li et al. (2010).
    """

    name: ClassVar[str] = "lin_thompson"
    ridge: float = 1.0
    v: float = 0.5

    def __post_init__(self) -> None:
        """Refuse parameters that are not positive."""
        check_positive(self.name, "ridge", self.ridge)
        check_positive(self.name, "v", self.v)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance that each arm is the best, averaged over the latest contexts.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): together 1, within 1e-6 of the average of the posterior's P(best).

        Notes
        -----
        Given x, the arms' expected rewards are independent normals ``N(theta' x, v^2 x' A^-1 x)``;
        P(best) comes from quadrature, all distinct contexts at once. Weights are for the route as a
        whole: an arm that is best for some contexts gets their share of the traffic, not these
        requests. Without contexts the feature is a constant 1. The model has no intercept: put a 1
        among the features.

        Examples
        --------
        >>> LinThompson().propensities(ArmStats.of([99, 99], [50, 60]), 0).round(3)
        array([0.079, 0.921])
        """
        del now_ms
        at = eligible_arms(arms)
        mean, variance, copies = predict(arms, at, self.ridge)
        deviation = self.v * np.sqrt(variance)
        chances = best_of_normals_by_row(mean, deviation) * copies[:, None]
        # Exact sums, so that the order in which contexts lie changes no bit.
        return weights_on(arms.n_arms, at, [math.fsum(arm) for arm in chances.T.tolist()])
