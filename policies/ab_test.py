"""The classical experiment: split equally, test once enough labels are in, then settle."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, has_eligible_champion, share_equally
from leverframe.policies.epsilon_greedy import leading_arms
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["AbTest", "welch_p_value"]


def welch_p_value(arms: ArmStats, first: int, second: int) -> float:
    """Return the two-sided p-value of Welch's z-test that two arms have the same mean.

    Parameters
    ----------
    arms : ArmStats
        K arms.
    first : int
        Index of an arm with labels.
    second : int
        Index of another.

    Returns
    -------
    float
        In [0, 1]; 0 where the means differ and no reward varies, 1 where the means are equal.

    Examples
    --------
    >>> round(welch_p_value(ArmStats.of([1000, 1000], [500, 550]), 0, 1), 4)
    0.0251
    """
    means, variances = [], []
    for arm in (first, second):
        count = float(arms.count[arm])
        mean = float(arms.reward_sum[arm]) / count
        variance = max(0.0, float(arms.reward_square_sum[arm]) / count - mean * mean)
        means.append(mean)
        variances.append(variance / max(1.0, count - 1.0))
    difference, spread = abs(means[0] - means[1]), math.sqrt(sum(variances))
    if spread == 0:
        return 0.0 if difference > 0 else 1.0
    return math.erfc(difference / spread / math.sqrt(2.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class AbTest:
    """Split equally until every arm has enough labels; then a significant winner gets everything.

    Parameters
    ----------
    labels_per_arm : int
        Labels that each eligible arm must have before the test, at least 2; 1000 by default, ours.
    significance : float
        Chance of a false winner, in (0, 1), shared equally by the challengers (Bonferroni). The
        textbook's 0.05 by default; the value of arXiv 2503.22595 could not be read.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Welch (1947), Biometrika 34. Kohavi, Tang and Xu (2020), *Trustworthy Online Controlled
    Experiments*, chapter 17.
    """

    name: ClassVar[str] = "ab_test"
    labels_per_arm: int = 1000
    significance: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a test without a variance and a chance outside (0, 1)."""
        if self.labels_per_arm < 2:
            raise PolicyError(
                f"ab_test: labels_per_arm must be at least 2, got {self.labels_per_arm}"
            )
        if not 0 < self.significance < 1:
            raise PolicyError(f"ab_test: significance must lie in (0, 1), got {self.significance}")

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return an equal split during the experiment, one-hot weights afterwards.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): equal winners share equally; without a winner the champion has it all;
            without a champion the best arm needs no test.

        Notes
        -----
        The z-test is for one look at a fixed size. This policy holds no state, so it looks again at
        every later label, and an arm that nearly won may still win: the chance of a false winner
        over the life of the route exceeds ``significance``. The guard's evidence is not so limited.

        Examples
        --------
        >>> arms = ArmStats.of([1000, 1000], [500, 550], champion=0)
        >>> AbTest().propensities(arms, 0)[1].item()
        1.0
        """
        del now_ms
        at, arms = eligible_arms(arms), arms.without_prior()
        if arms.count[at].min() < self.labels_per_arm:
            return share_equally(arms.n_arms, at)
        leading = leading_arms(arms)
        if has_eligible_champion(arms):
            champion = arms.champion
            level = self.significance / max(1, len(at) - 1)
            winners = [
                arm
                for arm in leading.tolist()
                if arm != champion and welch_p_value(arms, arm, champion) < level
            ]
            leading = np.array(winners or [champion])
        return share_equally(arms.n_arms, leading)
