"""KL-UCB: optimism with the confidence bound that fits rewards between 0 and 1."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, share_equally, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.policies.ucb import optimistic_means
from leverframe.policies.water_filling import check_spread, fill
from leverframe.schemas.errors import PolicyError

__all__ = ["KlUcb", "divergence"]

_BELOW_ONE: Final = 1.0 - 2.0**-53
_CERTAIN: Final = 1.0 - 1e-12  # a mean above counts as 1
_NEVER: Final = 1e-15  # a mean below counts as 0


def divergence(mean: float, distance: float) -> float:
    """Return the Kullback-Leibler divergence of coins of bias ``mean`` and ``mean + distance``.

    Parameters
    ----------
    mean : float
        In [0, 1).
    distance : float
        At least 0 and less than ``1 - mean``; given apart since at high counts it is tiny.

    Returns
    -------
    float
        Nats.

    Examples
    --------
    >>> round(divergence(0.5, 0.25), 6)
    0.143841
    """
    part = distance / (1.0 - mean)
    rest = (mean - 1.0) * math.log1p(-part if part < _BELOW_ONE else -_BELOW_ONE)
    return rest - mean * math.log1p(distance / mean) if mean > _NEVER else rest


@dataclass(frozen=True, slots=True, kw_only=True)
class KlUcb:
    """Pull the arms whose mean could be highest: the largest q with ``count kl(mean, q) <= f(t)``.

    Here ``f(t) = log t + c log log t``.

    Parameters
    ----------
    c : float
        Weight of ``log log t``, not negative. 0 by default, which the authors recommend in
        practice; their proof takes 3.
    spread : int
        Virtual pulls that one set of weights is made for, at least 1; ours.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Garivier and Cappe (2011), The KL-UCB algorithm for bounded stochastic bandits and beyond, COLT,
    algorithm 1 and theorem 2.
    """

    name: ClassVar[str] = "kl_ucb"
    c: float = 0.0
    spread: int = 100

    def __post_init__(self) -> None:
        """Refuse a negative weight and a spread below one pull."""
        if not (math.isfinite(self.c) and self.c >= 0):
            raise PolicyError(f"kl_ucb: c must be finite and not negative, got {self.c}")
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
        t counts the labels of eligible arms plus ``spread``. Valid for any rewards in [0, 1], and
        asymptotically optimal for rewards of 0 and 1; for rewards that vary less it explores more
        than needed. An index of 1 falls with no pull: arms without labels and arms whose every
        reward was 1 share everything equally.

        Examples
        --------
        >>> KlUcb().propensities(ArmStats.of([100, 100], [50, 60]), 0).round(3)
        array([0., 1.])
        """
        del now_ms
        at = eligible_arms(arms)
        counts = arms.count[at].tolist()
        means = optimistic_means(counts, arms.reward_sum[at].tolist())
        top = max(means)
        if top > _CERTAIN:
            return share_equally(arms.n_arms, at[[mean > _CERTAIN for mean in means]])
        log_t = math.log(max(math.e, math.fsum(counts) + self.spread))
        budget = log_t + self.c * math.log(log_t)
        return weights_on(arms.n_arms, at, _pulls(means, counts, budget, float(self.spread)))


def _pulls(means: list[float], counts: list[float], budget: float, spread: float) -> list[float]:
    top = max(means)
    gaps = [top - mean for mean in means]

    def needed(arm: int, level: float) -> tuple[float, float]:
        mean, distance = means[arm], level + gaps[arm]
        value = mean + distance
        count = budget / divergence(mean, distance)
        slope = count * count * distance / (budget * value * (1.0 - value)) if value < 1 else 0.0
        return count, -slope

    low = 0.0
    for mean, count, gap in zip(means, counts, gaps, strict=True):
        low = max(low, _distance_within(mean, budget / (count + spread)) - gap)
    return fill(counts, needed, spread, low, 1.0 - top)


def _distance_within(mean: float, nats: float) -> float:
    """Return a distance whose divergence is at most ``nats``, and close to it where that is small.

    The divergence is the integral of t / variance(mean + t), and the variance is concave, thus at
    least its lower end: half the squared distance over that bounds it.
    """
    variance = mean * (1.0 - mean)
    distance = math.sqrt(2.0 * nats * variance)
    is_past_mirror = mean + distance > 1.0 - mean
    if mean >= nats and not is_past_mirror:
        return distance
    # From here the variance at the far end is the lower. Near a mean of 0 it bounds nothing, but
    # the squared distance over it does, being the chi-squared divergence.
    weight = 2.0 * nats if is_past_mirror else nats
    skew = weight * (1.0 - 2.0 * mean)
    root = math.sqrt(skew * skew + 4.0 * (1.0 + weight) * weight * variance)
    if skew < 0:  # the same root, written without cancellation
        return 2.0 * weight * variance / (root - skew)
    return (skew + root) / (2.0 * (1.0 + weight))
