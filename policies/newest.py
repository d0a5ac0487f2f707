"""The naive strategy: the model that was deployed last answers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, share_equally
from leverframe.policies.statistics import ArmStats

__all__ = ["Newest", "newest_arm"]


def newest_arm(arms: ArmStats) -> int:
    """Return the eligible arm that was registered last.

    Parameters
    ----------
    arms : ArmStats
        K arms, at least one of them eligible.

    Returns
    -------
    int
        Its index; the later one where two were registered in the same millisecond.

    Examples
    --------
    >>> newest_arm(ArmStats.of([1, 1, 1], [0, 0, 0], registered_at_ms=[5, 9, 9]))
    2
    """
    indices = eligible_arms(arms)
    times = arms.registered_at_ms[indices]
    return int(indices[np.flatnonzero(times == times.max())[-1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """Give all traffic to the arm registered last, whatever its labels say.

    This is the baseline of deployment without a bandit; it learns nothing and ignores rewards.

    References
    ----------
    McClendon, Venkatesh and Morinelli (2025), arXiv 2503.22595: the strategy called naive. The
    paper could not be read in full when this was written; the rule for ties is ours.
    """

    name: ClassVar[str] = "newest"

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return 1 for the newest eligible arm, 0 for the others.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): one-hot.

        Examples
        --------
        >>> arms = ArmStats.of([10, 0], [9, 0], registered_at_ms=[1000, 2000])
        >>> Newest().propensities(arms, 3000)[1].item()
        1.0
        """
        del now_ms
        return share_equally(arms.n_arms, np.array([newest_arm(arms)]))
