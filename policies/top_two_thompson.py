"""Top-two Thompson sampling: find the best arm soon, then stop."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from leverframe.policies.eligibility import eligible_arms, share_equally, weights_on
from leverframe.policies.epsilon_greedy import leading_arms
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import best_chances
from leverframe.schemas.errors import PolicyError

__all__ = ["TopTwoThompson", "best_arm", "log_mixture_ratio"]

Float64: TypeAlias = NDArray[np.float64]

_RELIABLE: Final = 1e-4  # below this the quadrature's error would tell in ratios


def best_arm(arms: ArmStats, delta: float) -> int | None:
    """Return the best eligible arm once it is known, with error at most ``delta`` over all time.

    Parameters
    ----------
    arms : ArmStats
        K arms, at least one of them eligible; rewards in [0, 1].
    delta : float
        Chance of ever naming an arm that is not best, in (0, 1).

    Returns
    -------
    int or None
        None while it is open, and always while arms tie for the highest mean.

    Notes
    -----
    Each other arm must be worse at ``delta / (E - 1)`` by ``log_mixture_ratio``. A wrong arm is
    named only if it wins against the truly best one; by the union bound over the E - 1 wrong arms
    that happens with chance at most ``delta``, however often one looks. This holds for any rewards
    in [0, 1] whose means stay the same; the guard's evidence does not ask for that.

    Examples
    --------
    >>> best_arm(ArmStats.of([200, 200], [80, 140]), 0.05)
    1
    >>> best_arm(ArmStats.of([20, 20], [8, 14]), 0.05) is None
    True
    """
    if not 0 < delta < 1:
        raise PolicyError(f"delta must lie in (0, 1), got {delta}")
    at, leading = eligible_arms(arms), leading_arms(arms)
    if len(leading) > 1:
        return None
    best = int(leading[0])
    threshold = math.log(max(1, len(at) - 1) / delta)
    counts, sums = arms.count.tolist(), arms.reward_sum.tolist()
    for arm in at.tolist():
        if arm == best:
            continue
        if log_mixture_ratio(counts[arm], sums[arm], counts[best], sums[best]) < threshold:
            return None
    return best


def log_mixture_ratio(worse_n: float, worse_sum: float, n: float, total: float) -> float:
    """Return the log evidence that one arm's mean reward is below another's.

    Parameters
    ----------
    worse_n : float
        Labels of the arm that looks worse.
    worse_sum : float
        Its sum of rewards in [0, 1].
    n : float
        Labels of the other.
    total : float
        Its sum of rewards.

    Returns
    -------
    float
        Nats; -inf where the first does not look worse. The two mixtures over Beta(1/2, 1/2),
        divided by the likelihoods at means that are in fact equal or the other way round: a
        supermartingale from 1, least where both means are the pooled one.

    Examples
    --------
    >>> round(log_mixture_ratio(200, 80, 200, 140), 1)
    12.7
    """
    if not (worse_n > 0 and n > 0 and worse_sum * n < total * worse_n):
        return -math.inf
    ones, zeros = worse_sum + total, max(0.0, worse_n - worse_sum) + max(0.0, n - total)
    pooled = ones * math.log(ones / (ones + zeros)) + zeros * math.log(zeros / (ones + zeros))
    return _log_mixture(worse_n, worse_sum) + _log_mixture(n, total) - pooled


def _log_mixture(n: float, total: float) -> float:
    """Log of the mean likelihood of n rewards under Beta(1/2, 1/2)."""
    zeros = max(0.0, n - total)
    betaln = math.lgamma(total + 0.5) + math.lgamma(zeros + 0.5) - math.lgamma(n + 1.0)
    return betaln - math.log(math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopTwoThompson:
    """Play the likely best arm and its likely rival in a fixed proportion, until one is best.

    Parameters
    ----------
    beta : float
        Share of pulls for the sampled best arm, in (0, 1]; 0.5 as in the paper. At 1 this is
        Thompson sampling that stops.
    delta : float
        Chance of ever settling on an arm that is not best, in (0, 1); 0.05 by default, ours.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Russo (2020), Simple Bayesian algorithms for best-arm identification, Operations Research 68(6),
    section 3 (top-two Thompson sampling). Garivier and Kaufmann (2016), Optimal best arm
    identification with fixed confidence, COLT, section 3 (stopping). Kaufmann and Koolen (2021),
    Mixture martingales revisited, JMLR 22, section 3.
    """

    name: ClassVar[str] = "top_two_thompson"
    beta: float = 0.5
    delta: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a share or a chance outside its range."""
        if not 0 < self.beta <= 1:
            raise PolicyError(f"{self.name}: beta must lie in (0, 1], got {self.beta}")
        if not 0 < self.delta < 1:
            raise PolicyError(f"{self.name}: delta must lie in (0, 1), got {self.delta}")

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance of each arm being chosen next.

        With psi the chances of being best, arm i is played at
        ``psi_i (beta + (1 - beta) sum over j != i of psi_j / (1 - psi_j))``.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible; rewards of 0 and 1, or between.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): together 1; one-hot once ``best_arm`` names an arm.

        Notes
        -----
        Made to identify, not to earn: up to ``1 - beta`` of traffic goes to rivals until it stops.
        Where the leader's chance is within 1e-4 of 1, rivals are weighed by the normal tail of
        beating the leader instead of psi. The prior is uniform; the optimal ``beta`` depends on the
        unknown means, and 0.5 needs at most twice the labels.

        Examples
        --------
        >>> TopTwoThompson().propensities(ArmStats.of([9, 9, 9], [3, 4, 6]), 0).round(3)
        array([0.142, 0.37 , 0.488])
        """
        del now_ms
        at = eligible_arms(arms)
        best = best_arm(arms.without_prior(), self.delta)
        if best is not None:
            return share_equally(arms.n_arms, np.array([best]))
        count, total = arms.count[at], arms.reward_sum[at]
        psi = best_chances("beta", count, total, total, alpha=1.0, beta=1.0)
        leader = int(psi.argmax())
        if 1.0 - psi[leader] < _RELIABLE:
            rivals = _rivals(1.0 + total, 1.0 + np.maximum(count - total, 0.0), leader)
            played_second = psi[leader] * rivals
            played_second[leader] = 1.0 - psi[leader]
        else:
            odds = psi / (1.0 - psi)
            played_second = psi * (math.fsum(odds.tolist()) - odds)
        return weights_on(arms.n_arms, at, self.beta * psi + (1.0 - self.beta) * played_second)


def _rivals(alpha: Float64, beta: Float64, leader: int) -> Float64:
    """Chance of each arm to be second when the leader is first, by normal tails in log space."""
    whole = alpha + beta
    mean, variance = alpha / whole, alpha * beta / (whole * whole * (whole + 1.0))
    z = (mean - mean[leader]) / np.sqrt(variance + variance[leader])
    tails = log_ndtr(z)
    tails[leader] = -np.inf
    chances = np.exp(tails - tails.max())
    result: Float64 = chances / math.fsum(chances.tolist())
    return result
