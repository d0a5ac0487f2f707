"""Exploit the best arm so far, explore all arms at a fixed rate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, share_equally
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["EpsilonGreedy", "leading_arms"]


def leading_arms(arms: ArmStats) -> NDArray[np.intp]:
    """Return the eligible arms with the highest mean reward.

    Parameters
    ----------
    arms : ArmStats
        K arms, at least one of them eligible.

    Returns
    -------
    NDArray[np.intp]
        Indices, rising. While some eligible arms have no label, these are the leading ones.

    Examples
    --------
    >>> leading_arms(ArmStats.of([10, 20, 10], [5, 10, 2])).tolist()
    [0, 1]
    """
    indices = eligible_arms(arms)
    means = np.where(arms.count > 0, arms.mean, np.inf)[indices]
    leading: NDArray[np.intp] = indices[means == means.max()]
    return leading


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonGreedy:
    """Exploit the best arm so far; explore all arms equally at rate ``epsilon``.

    Parameters
    ----------
    epsilon : float
        Exploration rate, dimensionless, 0 to 1. The textbook's 0.1 by default; the value of arXiv
        2503.22595 could not be read.

    Raises
    ------
    PolicyError
        If ``epsilon`` lies outside [0, 1] or is NaN.

    References
    ----------
    Sutton and Barto, *Reinforcement Learning*, 2nd ed. (2018), sections 2.2 and 2.3.
    """

    name: ClassVar[str] = "epsilon_greedy"
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        """Refuse a rate that is no probability."""
        if not 0 <= self.epsilon <= 1:
            raise PolicyError(f"epsilon_greedy: epsilon must lie in [0, 1], got {self.epsilon}")

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance of each arm being chosen next.

        An arm without labels ranks as best, so none is dropped untried; arms that tie for best
        share the exploiting mass equally.

        Parameters
        ----------
        arms : ArmStats
            K arms, E of them eligible, E at least 1.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): at least ``epsilon / E`` for eligible arms, together 1.

        Notes
        -----
        At a fixed rate the regret grows linearly, by epsilon times the mean gap; in exchange every
        arm stays measured, which helps when rewards drift and keeps off-policy estimates bounded.

        Examples
        --------
        >>> EpsilonGreedy(epsilon=0.2).propensities(ArmStats.of([10, 10], [2, 8]), 0)
        array([0.1, 0.9])
        """
        del now_ms
        explore = share_equally(arms.n_arms, eligible_arms(arms))
        exploit = share_equally(arms.n_arms, leading_arms(arms))
        return self.epsilon * explore + (1.0 - self.epsilon) * exploit
