"""The arm that is ahead on the same requests, where every label judges every arm."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import (
    eligible_arms,
    has_eligible_champion,
    share_equally,
)
from leverframe.policies.standing import standing
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import Thompson
from leverframe.schemas.errors import PolicyError

__all__ = ["PairedLeader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLeader:
    """All traffic to the arm that leads on common rows, old rows forgotten.

    The rows are requests that several arms answered, one served and the others in shadow, on a
    route whose labels do not depend on the answer. An arm that was registered with a score on
    held-out data, as the champion was, begins with the difference of both scores, worth a few rows.
    Where no arm has anything in common with the champion it is ``thompson`` that decides.

    Parameters
    ----------
    half_life : float
        Rows after which a row counts half, positive; 700 by default, chosen on other seeds than
        those that the experiment reports.
    z : float
        Standard errors by which the lead over the champion must exceed 0, finite, not negative.
    min_rows : float
        Rows, old ones counted less, that an arm must share with the champion; positive.
    held_out_rows : float
        Rows that a difference of held-out scores is worth at most, finite, not negative; 0: none.
        Fewer where an arm was registered with a smaller ``validation_count``.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    With full information the leader of the past is near the best arm in hindsight: Cesa-Bianchi and
    Lugosi (2006), Prediction, Learning, and Games, chapters 2 and 4; forgetting, to follow
    changes: Herbster and Warmuth (1998), Tracking the best expert, Machine Learning 32(2). The rule
    with pairs and standard errors is ours.
    """

    name: ClassVar[str] = "paired_leader"
    half_life: float = 700.0
    z: float = 0.0
    min_rows: float = 20.0
    held_out_rows: float = 50.0

    def __post_init__(self) -> None:
        """Refuse parameters outside their range."""
        for name, value in (("half_life", self.half_life), ("min_rows", self.min_rows)):
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"paired_leader: {name} must be above 0, got {value}")
        for name, value in (("z", self.z), ("held_out_rows", self.held_out_rows)):
            if not (math.isfinite(value) and value >= 0):
                raise PolicyError(
                    f"paired_leader: {name} must be finite and not negative, got {value}"
                )

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return 1 for the leader, shared by those that are level; or ``thompson``'s propensities.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,).
        """
        able = eligible_arms(arms)
        if len(able) == 1:
            return share_equally(arms.n_arms, able)
        if not has_eligible_champion(arms):
            return Thompson().propensities(arms, now_ms)
        home = arms.champion
        rows, lead, error, _ = standing(arms, self.half_life, self.held_out_rows)
        rivals = able[(able != home) & (rows[able] >= self.min_rows)]
        if not len(rivals):
            return Thompson().propensities(arms, now_ms)
        margin = lead[rivals] - self.z * error[rivals]
        most = margin.max()
        leaders = rivals[margin == most] if most > 0 else np.array([home])
        return share_equally(arms.n_arms, leaders)
