"""UCB1: optimism in the face of uncertainty."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.policies.water_filling import check_spread, fill_square_root
from leverframe.schemas.errors import PolicyError

__all__ = ["Ucb", "optimistic_means"]


def optimistic_means(counts: list[float], sums: list[float]) -> list[float]:
    """Return mean rewards, the highest possible one for an arm without labels.

    Parameters
    ----------
    counts : list of float
        Labels of E arms.
    sums : list of float
        Their sums of rewards in [0, 1].

    Returns
    -------
    list of float
        E means in [0, 1].

    Examples
    --------
    >>> optimistic_means([4.0, 0.0], [1.0, 0.0])
    [0.25, 1.0]
    """
    return [min(1.0, max(0.0, s / n)) if n > 0 else 1.0 for n, s in zip(counts, sums, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ucb:
    """Pull the arms whose mean reward could be highest: ``mean + constant sqrt(log t / count)``.

    Parameters
    ----------
    constant : float
        Width of the confidence bound in units of ``sqrt(log t / count)``, positive. The textbook's
        sqrt(2) by default; the value of arXiv 2503.22595 could not be read.
    spread : int
        Virtual pulls that one set of weights is made for, at least 1; ours.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Auer, Cesa-Bianchi and Fischer (2002), Finite-time analysis of the multiarmed bandit problem,
    Machine Learning 47, section 2 (policy UCB1, theorem 1).
    """

    name: ClassVar[str] = "ucb"
    constant: float = math.sqrt(2.0)
    spread: int = 100

    def __post_init__(self) -> None:
        """Refuse a width that is not positive and a spread below one pull."""
        if not (math.isfinite(self.constant) and self.constant > 0):
            raise PolicyError(f"ucb: constant must be positive and finite, got {self.constant}")
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
        t counts the labels of eligible arms plus ``spread``. The textbook bound is for one pull at
        a time with its label at once; a spread of s, or labels that are s pulls late, adds at most
        s pulls of each arm. An arm without labels counts as having the highest mean.

        Examples
        --------
        >>> Ucb().propensities(ArmStats.of([10, 10], [5, 6]), 0).round(3)
        array([0.355, 0.645])
        """
        del now_ms
        at = eligible_arms(arms)
        counts = arms.count[at].tolist()
        means = optimistic_means(counts, arms.reward_sum[at].tolist())
        width = self.constant * math.sqrt(math.log(max(2.0, math.fsum(counts) + self.spread)))
        pulls = fill_square_root(means, [width] * len(counts), counts, self.spread)
        return weights_on(arms.n_arms, at, pulls)
