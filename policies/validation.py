"""The offline strategy: a new model must beat the champion on held-out data."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import has_eligible_champion, share_equally
from leverframe.policies.newest import newest_arm
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["Validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Keep the champion unless the newest arm's validation score beats its by ``margin``.

    Parameters
    ----------
    margin : float
        How much better the newest arm must score, in the unit of ``validation_score`` (higher is
        better), finite, not negative. 0 by default, ours.

    Raises
    ------
    PolicyError
        If ``margin`` is negative or not finite.

    References
    ----------
    McClendon, Venkatesh and Morinelli (2025), arXiv 2503.22595: the strategy called validation. The
    paper could not be read in full when this was written; margin and missing scores are ours.
    """

    name: ClassVar[str] = "validation"
    margin: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a negative margin."""
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise PolicyError(
                f"validation: margin must be finite and not negative, got {self.margin}"
            )

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return 1 for the champion, or for the newest arm when it scores better.

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

        Notes
        -----
        A missing score (NaN) neither beats nor is beaten, equal scores keep the champion, and where
        no champion may receive traffic the newest arm gets it. Labels are ignored: an arm that
        validates well and serves badly stays until the guard stops it.

        Examples
        --------
        >>> arms = ArmStats.of([10, 0], [9, 0], champion=0, validation_score=[0.81, 0.84])
        >>> Validation(margin=0.02).propensities(arms, 0)[1].item()
        1.0
        """
        del now_ms
        chosen = newest_arm(arms)
        if has_eligible_champion(arms):
            lead = arms.validation_score[chosen] - arms.validation_score[arms.champion]
            chosen = chosen if lead > self.margin else arms.champion
        return share_equally(arms.n_arms, np.array([chosen]))
