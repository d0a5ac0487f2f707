"""Confidence intervals for averages of scores whose means may drift and depend on the past."""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["bernstein_half_width", "normal_half_width"]

Float64: TypeAlias = NDArray[np.float64]


def normal_half_width(scores: Float64, alpha: float) -> float:
    """Return half the width of the asymptotic normal interval for the average of the means.

    Parameters
    ----------
    scores : NDArray[np.float64]
        Shape (n,): each with a mean of its own, given the past.
    alpha : float
        Chance of missing, two-sided, in (0, 1).

    Returns
    -------
    float
        ``z s / sqrt(n)``, in the unit of the scores; infinite below two scores.

    Notes
    -----
    By the martingale central limit theorem. Where the means drift, s holds their drift too, and the
    interval is wider than it need be.

    Examples
    --------
    >>> round(normal_half_width(np.array([0.0, 1.0] * 50), 0.05), 4)
    0.0985
    """
    n = len(scores)
    if n < 2:
        return math.inf
    return float(-ndtri(alpha / 2) * scores.std(ddof=1) / math.sqrt(n))


def bernstein_half_width(scores: Float64, bound: float, alpha: float) -> float:
    """Return half the width of an interval that holds at any n, for scores in [0, bound].

    Parameters
    ----------
    scores : NDArray[np.float64]
        Shape (n,), in serving order; each with a mean of its own, given the past.
    bound : float
        Known in advance, positive: the largest score that was possible.
    alpha : float
        Chance of missing, two-sided, in (0, 1).

    Returns
    -------
    float
        In the unit of the scores. Typically 1.7 times the normal one where n is large, and more
        where ``bound / n`` is not small beside the standard error.

    Notes
    -----
    With y = score / bound, guess g predicted from the past, and psi(l) = -log(1 - l) - l,
    ``exp(l sum(y - mean) - psi(l) sum((y - g)^2))`` is a supermartingale from 1, for the averages
    of means that drift too (Fan, Grama and Liu 2015; Howard, Ramdas, McAuliffe and Sekhon 2021,
    theorem 4). The same holds turned round. J values of l are fixed by n alone, each used at
    ``alpha / (2 J)``, and the narrowest interval is taken.

    Examples
    --------
    >>> round(bernstein_half_width(np.array([0.0, 1.0] * 50), 1.0, 0.05), 4)
    0.1948
    """
    n = len(scores)
    y = scores / bound
    guess = np.concatenate([[0.0], y.cumsum()[:-1]]) / np.arange(1, n + 1)
    variation = float(((y - guess) ** 2).sum())
    n_rates = 1 + math.ceil(math.log2(max(2.0, math.sqrt(n / 20.0))))
    cost = math.log(2.0 * n_rates / alpha)
    rates = (0.75 * 0.5**j for j in range(n_rates))
    widths = ((cost - (math.log1p(-rate) + rate) * variation) / rate for rate in rates)
    return bound * min(widths) / n
