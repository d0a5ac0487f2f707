"""Thompson sampling on labels that fade with time."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, share_equally, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import Model, best_chances, check_prior
from leverframe.schemas.errors import PolicyError

__all__ = ["DiscountedThompson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountedThompson:
    """Choose each arm with the chance that it is the best now, old labels counting for less.

    Parameters
    ----------
    half_life_ms : float
        Age at which a label counts half, ms, positive; 5 minutes by default, ours. Labels older
        than a route keeps (``bucket_ms * max_buckets``, 20 minutes by default) are gone.
    model : str
        Posterior of an arm's mean reward: "beta" or "gaussian", as in ``policies.thompson``.
    alpha, beta : float
        Prior rewards of 1 and of 0, in labels, positive; they do not fade.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Raj and Kalyani (2017), Taming non-stationary bandits: a Bayesian approach, arXiv 1707.09727,
    algorithm 1, with the discount per unit of time in place of per pull.
    """

    name: ClassVar[str] = "discounted_thompson"
    half_life_ms: float = 300_000.0
    model: Model = "beta"
    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a half-life that is not positive, an unknown model, an improper prior."""
        if not (math.isfinite(self.half_life_ms) and self.half_life_ms > 0):
            raise PolicyError(
                f"{self.name}: half_life_ms must be positive and finite, got {self.half_life_ms}"
            )
        check_prior(self.name, self.model, self.alpha, self.beta)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance that each arm is the best now.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible; ``buckets`` holds their recent labels.
        now_ms : int
            Time of the decision, ms since the epoch.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): within 1e-6 of the posterior's P(best), exactly equal for equal posteriors.

        Notes
        -----
        A bucket's age is taken from its end, and is 0 while it is still open. Counts become
        fractions, which a Beta posterior takes as they are. No bound on the regret is known for the
        discounted posterior in general; at a steady rate of r labels per ms it never counts more
        than about 1.44 r half_life_ms labels, so it keeps exploring for ever.

        Examples
        --------
        >>> arms = ArmStats.of([100, 100], [50, 60])
        >>> DiscountedThompson().propensities(arms, 0)[0].item()  # no bucket: nothing known
        0.5
        """
        at = eligible_arms(arms)
        buckets = arms.buckets
        if not buckets.start_ms.size:
            return share_equally(arms.n_arms, at)
        age_ms = np.maximum(now_ms - buckets.start_ms - buckets.width_ms, 0)
        count, total, squares = buckets.weighted(np.exp2(-age_ms / self.half_life_ms))
        chances = best_chances(
            self.model, count[at], total[at], squares[at], alpha=self.alpha, beta=self.beta
        )
        return weights_on(arms.n_arms, at, chances)
