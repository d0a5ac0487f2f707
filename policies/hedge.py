"""Exponential weights on common rows, with a share for everyone so that any arm can come back."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import (
    eligible_arms,
    has_eligible_champion,
    share_equally,
    weights_on,
)
from leverframe.policies.standing import standing
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import Thompson
from leverframe.schemas.errors import PolicyError

__all__ = ["Hedge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Weigh arms exponentially in their lead on common rows, old rows forgotten, none at zero.

    The rows are those of ``paired_leader``: requests that several arms answered, one served and the
    others in shadow, on a route whose labels do not depend on the answer, and scores on held-out
    data as the first of them. Where no arm has enough in common with the champion it is
    ``thompson`` that decides.

    Parameters
    ----------
    eta : float
        Learning rate, positive: the odds of an arm grow by ``exp(eta * sqrt(log E))``, for E arms,
        with each standard error of its lead. 2.8 by default, as in the bound for losses in [0, 1].
    half_life : float
        Rows after which a row counts half, positive; 700 by default, chosen on other seeds than
        those that the experiment reports.
    share : float
        Traffic that is shared equally whatever the rows say, in [0, 1): who was behind for long
        serves still, and more as soon as it leads.
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
    Freund and Schapire (1997), A decision-theoretic generalization of on-line learning and an
    application to boosting, Journal of Computer and System Sciences 55(1). Herbster and Warmuth
    (1998), Tracking the best expert, Machine Learning 32(2): the share. Cesa-Bianchi, Mansour and
    Stoltz (2007), Improved second-order bounds for prediction with expert advice, Machine Learning
    66: the rate by the size of differences. Discounted means in place of sums, so that a newcomer
    is not behind by its age, are ours.
    """

    name: ClassVar[str] = "hedge"
    eta: float = 2.8
    half_life: float = 700.0
    share: float = 0.01
    min_rows: float = 20.0
    held_out_rows: float = 50.0

    def __post_init__(self) -> None:
        """Refuse parameters outside their range."""
        for name in ("eta", "half_life", "min_rows"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"hedge: {name} must be finite and above 0, got {value}")
        if not 0 <= self.share < 1:
            raise PolicyError(f"hedge: share must lie in [0, 1), got {self.share}")
        if not (math.isfinite(self.held_out_rows) and self.held_out_rows >= 0):
            raise PolicyError(
                f"hedge: held_out_rows must be finite and not negative, got {self.held_out_rows}"
            )

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return exponential weights of the leads over the champion; or ``thompson``'s.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): 0 for arms with fewer than ``min_rows`` rows, which nursery and floor serve.

        Notes
        -----
        Rows and squared difference are those of the arm that has most, so that one scale holds for
        all: a newcomer's few rows are taken at their mean, as if it had been there for longer.

        Examples
        --------
        >>> from dataclasses import replace
        >>> from leverframe.policies.statistics import PairStats
        >>> rows = np.array([[[0.0, 100.0], [100.0, 0.0]]])
        >>> lead = np.array([[[0.0, -6.0], [6.0, 0.0]]])  # the second was right 6 times more often
        >>> pairs = PairStats(rows=rows, difference_sum=lead, difference_square_sum=rows / 5)
        >>> Hedge().propensities(replace(ArmStats.of([50, 50], [40, 43]), pairs=pairs), 0).round(2)
        array([0.05, 0.95])
        """
        able = eligible_arms(arms)
        if len(able) == 1:
            return share_equally(arms.n_arms, able)
        if not has_eligible_champion(arms):
            return Thompson().propensities(arms, now_ms)
        rows, lead, _, square = standing(arms, self.half_life, self.held_out_rows)
        rivals = able[(able != arms.champion) & (rows[able] >= self.min_rows)]
        if not len(rivals):
            return Thompson().propensities(arms, now_ms)
        seen = np.append(rivals, arms.champion)
        # Rewards that never differ leave every lead at 0, whatever the scale.
        size = max(float(square[rivals].max()), np.finfo(np.float64).tiny)
        per_lead = self.eta * math.sqrt(math.log(len(seen)) * float(rows[rivals].max()) / size)
        ahead = np.where(seen == arms.champion, 0.0, lead[seen])
        odds = np.exp(per_lead * (ahead - ahead.max()))
        spread = share_equally(arms.n_arms, seen)
        return self.share * spread + (1.0 - self.share) * weights_on(arms.n_arms, seen, odds)
