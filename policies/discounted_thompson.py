"""Thompson sampling on labels that fade with newer ones, or with time."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, share_equally, weights_on
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.thompson import Model, best_chances, check_prior
from leverframe.schemas.errors import PolicyError

__all__ = ["DiscountedThompson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountedThompson:
    """Choose each arm with the chance that it is the best now, old labels counting for less.

    Parameters
    ----------
    half_life_labels : float
        Labels of the route after which one counts half, positive; 3,000 by default, ours. Silence
        forgets nothing: a night without labels, or a day until the next ones, changes no weight.
    half_life_ms : float, optional
        With it, age counts in place of labels: the time after which a label counts half, ms,
        positive. Buckets that a route keeps no more (``max_buckets``) are gone in both cases.
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
    algorithm 1, with the discount per label of the route, or per unit of time, in place of per
    pull.
    """

    name: ClassVar[str] = "discounted_thompson"
    half_life_labels: float = 3_000.0
    half_life_ms: float | None = None
    model: Model = "beta"
    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a half-life that is not positive, an unknown model, an improper prior."""
        for name in ("half_life_labels", "half_life_ms"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise PolicyError(f"{self.name}: {name} must be positive and finite, got {value}")
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
        A bucket's age is the number of labels in newer ones; in time it is taken from its end, and
        is 0 while it is still open. Counts become fractions, which a Beta posterior takes as they
        are. No bound on the regret is known for the discounted posterior in general; it never
        counts more than about 1.44 half_life_labels labels, so it keeps exploring for ever.

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
        count, total, squares = buckets.weighted(np.exp2(-self._half_lives(buckets, now_ms)))
        chances = best_chances(
            self.model, count[at], total[at], squares[at], alpha=self.alpha, beta=self.beta
        )
        return weights_on(arms.n_arms, at, chances)

    def _half_lives(self, buckets: TimeBuckets, now_ms: int) -> NDArray[np.float64]:
        """Age of each bucket, in half-lives."""
        if self.half_life_ms is not None:
            age_ms = np.maximum(now_ms - buckets.start_ms - buckets.width_ms, 0)
            return np.asarray(age_ms / self.half_life_ms, dtype=np.float64)
        labels = buckets.count.sum(axis=1)
        newer = labels.sum() - np.cumsum(labels)
        return np.asarray(np.maximum(newer, 0.0) / self.half_life_labels, dtype=np.float64)
