"""Thompson sampling: choose each arm as often as it is likely to be the best."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.quadrature import best_of_betas, best_of_normals
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["Model", "Thompson", "best_chances", "check_prior"]

Float64: TypeAlias = NDArray[np.float64]
Model: TypeAlias = Literal["beta", "gaussian"]


def check_prior(policy: str, model: str, alpha: float, beta: float) -> None:
    """Refuse a model without a name here and a prior without a density.

    Parameters
    ----------
    policy : str
        Its name, for the message.
    model : str
        "beta" or "gaussian".
    alpha : float
        Prior rewards of 1, in labels.
    beta : float
        Prior rewards of 0, in labels.

    Raises
    ------
    PolicyError
        Naming the parameter.
    """
    if model not in ("beta", "gaussian"):
        raise PolicyError(f"{policy}: model must be 'beta' or 'gaussian', got {model!r:.80}")
    for parameter, value in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(value) and value > 0):
            raise PolicyError(f"{policy}: {parameter} must be positive and finite, got {value}")


def best_chances(
    model: Model, count: Float64, total: Float64, squares: Float64, *, alpha: float, beta: float
) -> Float64:
    """Return the posterior chance of each of E arms to have the highest mean reward.

    Parameters
    ----------
    model : str
        "beta": ``Beta(alpha + total, beta + count - total)``; right for rewards of 0 and 1, and
        cautious for rewards between, whose variance is smaller. "gaussian": normal, with the mean
        and variance of the rewards, ``alpha`` of 1 and ``beta`` of 0 included; sharper for rewards
        that vary little.
    count : NDArray[np.float64]
        Shape (E,): labels; fractions are allowed.
    total : NDArray[np.float64]
        Shape (E,): sum of rewards in [0, 1].
    squares : NDArray[np.float64]
        Shape (E,): sum of their squares.
    alpha : float
        Prior rewards of 1, in labels, positive.
    beta : float
        Prior rewards of 0, in labels, positive.

    Returns
    -------
    NDArray[np.float64]
        Shape (E,), together 1, each within 1e-6 of the truth.

    Examples
    --------
    >>> ones, n = np.array([3.0, 7.0]), np.array([10.0, 10.0])
    >>> best_chances("gaussian", n, ones, ones, alpha=1.0, beta=1.0).round(3)
    array([0.042, 0.958])
    """
    if model == "beta":
        failures = np.maximum(count - total, 0.0)
        return best_of_betas(alpha + np.maximum(total, 0.0), beta + failures)
    labels = count + (alpha + beta)
    mean = (total + alpha) / labels
    variance = np.maximum((squares + alpha) / labels - mean * mean, 1e-18)
    return best_of_normals(mean, np.sqrt(variance / labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson:
    """Choose each arm with the probability that it is the best one, given the labels so far.

    Parameters
    ----------
    model : str
        Posterior of an arm's mean reward: "beta" or "gaussian", see ``best_chances``.
    alpha, beta : float
        Prior rewards of 1 and of 0, in labels, positive. 1 and 1 (uniform) by default, as in the
        textbook; the values of arXiv 2503.22595 could not be read.

    Raises
    ------
    PolicyError
        If the model is unknown, or the prior is not positive.

    References
    ----------
    Thompson (1933), Biometrika 25. Agrawal and Goyal (2012), Analysis of Thompson sampling for the
    multi-armed bandit problem, COLT, section 1. Chapelle and Li (2011), NIPS, algorithm 2.
    """

    name: ClassVar[str] = "thompson"
    model: Model = "beta"
    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an unknown model and an improper prior."""
        check_prior(self.name, self.model, self.alpha, self.beta)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance that each arm is the best.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): within 1e-6 of the posterior's P(best), exactly equal for equal posteriors.

        Notes
        -----
        The regret bound assumes rewards of 0 and 1 that do not drift and a label at once. With
        delayed labels the same propensities stay in force for longer; since they are no one-hot,
        the regret then grows by an additive term, not by a factor.

        Examples
        --------
        >>> Thompson().propensities(ArmStats.of([10, 10], [3, 7]), 0).round(3)
        array([0.043, 0.957])
        """
        del now_ms
        at = eligible_arms(arms)
        chances = best_chances(
            self.model,
            arms.count[at],
            arms.reward_sum[at],
            arms.reward_square_sum[at],
            alpha=self.alpha,
            beta=self.beta,
        )
        return weights_on(arms.n_arms, at, chances)
