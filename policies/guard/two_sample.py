"""An anytime-valid test that one arm's mean reward is below another's, by more than a margin.

For rewards in [0, 1] and a candidate mean m, the wealth of a gambler who bets that the truth is
smaller,

    E(m) = integral over p < m of (p/m)^S ((1-p)/(1-m))^(n-S) dB(p) / B(p < m),  B = Beta(1/2, 1/2)

after n rewards of sum S, is a supermartingale whenever every conditional mean is at least m, since
x -> (p/m)^x ((1-p)/(1-m))^(1-x) is convex and has mean 1 on a coin of bias m. Its mirror image
bets that the truth is larger. If the arm is no worse than the reference minus the margin, then
some m makes both bets fair or worse, so the smallest product over m is bounded by a
supermartingale, and by Ville's inequality it ever exceeds 1/alpha with chance at most alpha,
however often one looks.

The statistic needs only counts and sums, so it is exact under replay and revisable.

References
----------
Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS-B
86(1), section 4. Howard, Ramdas, McAuliffe and Sekhon (2021), Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49(2), section 3 (sub-Bernoulli mixtures).
Turner, Ly and Grunwald (2024), Generic e-variables for exact sequential k-sample tests, section 2.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln

__all__ = ["Sample", "log_evidence", "log_likelihood_ratio"]

_PRIOR: Final = 0.5  # Jeffreys; also the Krichevsky-Trofimov bet, within log(n)/2 of the best one.
_LOG_PRIOR: Final = float(betaln(_PRIOR, _PRIOR))
_EDGE: Final = 1e-9
# -log of the prior mass below _EDGE, or above 1 - _EDGE: no truncation gains more.
_LARGEST_GAIN: Final = -math.log(float(betainc(_PRIOR, _PRIOR, _EDGE)))
_GRID_POINTS: Final = 17
_REFINEMENTS: Final = 3

Sample = tuple[float, float]
"""Count and sum of rewards in [0, 1]."""


def _kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, nats."""
    total = 0.0
    if p > 0:
        total += p * math.log(p / q)
    if p < 1:
        total += (1 - p) * math.log((1 - p) / (1 - q))
    return total


def _clamped(sample: Sample) -> Sample:
    """Keep a stretch possible whose older labels were revised: its sum may leave 0 to count."""
    count, total = sample
    return count, min(max(total, 0.0), max(count, 0.0))


def log_likelihood_ratio(
    arm: Sample, reference: Sample, margin: float, needed: float = 0.0
) -> float:
    """Return an upper bound of ``log_evidence`` that costs a microsecond, to spare the exact one.

    Parameters
    ----------
    arm : Sample
        Count and sum of rewards in [0, 1].
    reference : Sample
        As for ``arm``.
    margin : float
        How much worse is tolerable, 0 to 1.
    needed : float
        Nats that would matter; where even a rougher bound stays below, that one is returned.

    Returns
    -------
    float
        Nats; -inf where the arm does not look worse.
    """
    (n, s), (k, t) = _clamped(arm), _clamped(reference)
    if n <= 0 or k <= 0 or t / k - s / n <= margin:
        return -math.inf
    pooled = (s + t + margin * n) / (n + k)
    middle = min(1 - _EDGE, max(margin + _EDGE, pooled))
    ratio = n * _kl(min(1.0, max(0.0, s / n)), middle - margin)
    ratio += k * _kl(min(1.0, max(0.0, t / k)), middle)
    # One-sided mixtures gain at most -log of the prior mass that they were truncated to.
    if ratio + _LARGEST_GAIN < needed:
        return ratio + _LARGEST_GAIN
    mass = float(betainc(_PRIOR, _PRIOR, middle - margin) * betaincc(_PRIOR, _PRIOR, middle))
    return ratio - math.log(max(mass, 1e-300))


def _log_bet_below(sample: Sample, m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log wealth against "every mean is at least m", for each m."""
    n, s = sample
    a, b = s + _PRIOR, max(0.0, n - s) + _PRIOR
    truncation = np.log(betainc(a, b, m)) - np.log(betainc(_PRIOR, _PRIOR, m))
    wealth: NDArray[np.float64] = (
        betaln(a, b) - _LOG_PRIOR + truncation - s * np.log(m) - (n - s) * np.log1p(-m)
    )
    return wealth


def _log_bet_above(sample: Sample, m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log wealth against "every mean is at most m", for each m."""
    n, s = sample
    a, b = s + _PRIOR, max(0.0, n - s) + _PRIOR
    truncation = np.log(betaincc(a, b, m)) - np.log(betaincc(_PRIOR, _PRIOR, m))
    wealth: NDArray[np.float64] = (
        betaln(a, b) - _LOG_PRIOR + truncation - s * np.log(m) - (n - s) * np.log1p(-m)
    )
    return wealth


def log_evidence(arm: Sample, reference: Sample, margin: float) -> float:
    """Return the log of the evidence that the arm is worse than the reference by over the margin.

    Parameters
    ----------
    arm : Sample
        Count and sum of rewards in [0, 1], from a start that was chosen before these rewards.
    reference : Sample
        As for ``arm``.
    margin : float
        How much worse is tolerable, 0 to 1.

    Returns
    -------
    float
        Nats; at or above ``log(1/alpha)`` the arm is worse, with error at most alpha over all time.

    Examples
    --------
    >>> round(log_evidence((50, 20), (50, 45), 0.0), 1)
    11.9
    >>> log_evidence((50, 45), (50, 45), 0.0)
    -inf
    """
    arm, reference = _clamped(arm), _clamped(reference)
    (n, s), (k, t) = arm, reference
    if n <= 0 or k <= 0 or t / k - s / n <= margin:
        return -math.inf
    low = min(1 - _EDGE, max(margin + _EDGE, s / n + margin))
    high = min(1 - _EDGE, max(low, t / k))
    best = math.inf
    with np.errstate(divide="ignore"):
        for _ in range(_REFINEMENTS):
            grid = np.linspace(low, high, _GRID_POINTS)
            total = _log_bet_below(arm, grid - margin) + _log_bet_above(reference, grid)
            at = int(np.argmin(total))
            best = min(best, float(total[at]))
            low, high = grid[max(0, at - 1)], grid[min(_GRID_POINTS - 1, at + 1)]
    return best
