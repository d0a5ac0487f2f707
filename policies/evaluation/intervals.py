"""Confidence intervals for averages of scores whose means may drift and depend on the past.

The normal interval fails where it is needed most: where hardly any reward differs from the others,
and where a few users make most requests. ``steadied_interval`` adds a few imagined units that were
all wrong or all right, and sums what came of one unit before it squares.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

__all__ = ["Units", "bernstein_half_width", "normal_half_width", "steadied_interval"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Who was assigned: requests of one unit say much the same, and count together.

    Attributes
    ----------
    of_request : NDArray[np.int64]
        Shape (n,): index of each request's unit, below ``count``.
    count : int
        Units.
    """

    of_request: NDArray[np.int64]
    count: int

    def sums(self, scores: Float64) -> Float64:
        """Add up by unit.

        Parameters
        ----------
        scores : NDArray[np.float64]
            Shape (n,).

        Returns
        -------
        NDArray[np.float64]
            Shape (count,), in the unit of the scores.
        """
        added = np.bincount(self.of_request, weights=scores, minlength=self.count)
        return added.astype(np.float64)


def steadied_interval(
    value: float,
    deviation: Float64,
    weight: Float64,
    units: Units,
    *,
    alpha: float,
    is_normalised: bool = True,
) -> tuple[float, float]:
    """Return an interval for a weighted mean of rewards in [0, 1] that few deviations cannot fool.

    Parameters
    ----------
    value : float
        The estimate.
    deviation : NDArray[np.float64]
        Shape (n,): by how much each request pulls the estimate from ``value``, times n.
    weight : NDArray[np.float64]
        Shape (n,): of each request's reward in the estimate, 1 on average.
    units : Units
        Of the n requests.
    alpha : float
        Chance of missing, two-sided, in (0, 1).
    is_normalised : bool
        Whether one more request of weight w and reward r pulls by ``w (r - value)``; False: by
        ``w r - value``, as where weights are not divided by their sum.

    Returns
    -------
    tuple of float
        Lower and upper end within [0, 1]; the estimate, cut to [0, 1], lies between them.

    Notes
    -----
    With z the normal quantile, z squared units are imagined, half of them with rewards of 0, half
    with rewards of 1, each of the size of the unit that a typical weight belongs to. The interval
    around the mean of all is Student's, with as many degrees of freedom as there are effective
    units, less 1. For n coins of equal weight it is that of Agresti and Coull; where all rewards
    are the same it is some ``4 / n`` wide, and not nothing. The sums by unit are the sandwich of
    Liang and Zeger.

    References
    ----------
    Agresti and Coull (1998), Approximate is better than "exact", The American Statistician 52(2).
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika
    73(1).

    Examples
    --------
    >>> alone = Units(of_request=np.arange(200), count=200)
    >>> low, high = steadied_interval(1.0, np.zeros(200), np.ones(200), alone, alpha=0.05)
    >>> round(low, 3), high
    (0.977, 1.0)
    """
    by_unit = units.sums(weight)
    total, squares = float(by_unit.sum()), float((by_unit**2).sum())
    size, effective = squares / total, total**2 / squares
    requests = (
        size if is_normalised else float((units.sums(np.ones(len(weight))) * by_unit).sum()) / total
    )
    wrong, right = -value * requests, size - value * requests
    imagined = float(ndtri(alpha / 2)) ** 2
    n = len(weight) + imagined * requests
    square = float((units.sums(deviation) ** 2).sum()) + imagined / 2 * (wrong**2 + right**2)
    middle = value + imagined / 2 * (wrong + right) / n
    half = float(stdtrit(max(1.0, effective - 1.0), 1 - alpha / 2)) * math.sqrt(square) / n
    inside = min(1.0, max(0.0, value))
    return (
        min(inside, max(0.0, middle - half)),
        max(inside, min(1.0, middle + half)),
    )
