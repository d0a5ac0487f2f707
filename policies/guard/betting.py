"""Betting against "this arm is no worse": wealth that grows only when the arm is worse.

Labels of an arm and of its reference are compared in *blocks* of concurrent labels: a block closes
at a label of the arm as soon as the reference has had one too. With ``d`` the arm's mean minus the
reference's in the block, the wealth of a gambler who stakes the share ``b`` is multiplied by

    1 - b (d + margin),   0 < b < 1 / (1 + margin).

While the arm's rewards are, given the past, no worse on average than concurrent ones of the
reference minus the margin, that has mean at most 1, whatever level both are at and however they
drift together. So the wealth is a supermartingale from 1, and by Ville's inequality it ever reaches
1/alpha with chance at most alpha, however often one looks.

Three mixtures keep the promise and make the test quick:

- over a few stakes, since the best one depends on how much worse the arm is;
- over block sizes: a stake is scaled by the harmonic mean of the two counts, as the variance of
  ``d`` falls with it; counts are known without looking at rewards;
- over starts: capital sleeps until its start comes, one after every ``STRIDE`` blocks, so a good
  past need not be outweighed. Start j wakes with the share 1/((j+1)(j+2)); all shares sum to 1.

All functions work along the last axes, so one call serves one arm or ten thousand.

References
----------
Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS-B
86(1), sections 4 and 5. Howard, Ramdas, McAuliffe and Sekhon (2021), Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49(2). Shin, Ramdas and Rinaldo (2024),
E-detectors, New England Journal of Statistics in Data Science 2(2), section 4 (starts as mixture).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STAKES",
    "STRIDE",
    "log_growth",
    "log_growth_below",
    "log_growth_of_block",
    "log_wealth",
    "wake",
]

Float64 = NDArray[np.float64]

STAKES: Final = np.array([0.04, 0.08, 0.16, 0.32, 0.6, 0.95])
"""Shares of the capital staked on a block of one label each; larger blocks stake more."""
STRIDE: Final = 32
"""Blocks between two starts."""
_LARGEST: Final = 0.99  # of what could be lost at once
_STAKES: Final[list[float]] = STAKES.tolist()


def log_growth(
    difference: Float64, own_count: Float64, reference_count: Float64, margin: float | Float64
) -> Float64:
    """Return by how much each stake's log wealth changes in each block.

    Parameters
    ----------
    difference : NDArray[np.float64]
        Shape (...): mean of the side that is suspected minus that of the other, -1 to 1.
    own_count : NDArray[np.float64]
        Shape (...): labels of the suspected side in the block, at least 1.
    reference_count : NDArray[np.float64]
        Shape (...): labels of the other side, at least 1.
    margin : float or NDArray[np.float64]
        How much worse is tolerable, above -1; negative: how much better it must be. An array has a
        shape that goes with ``difference``.

    Returns
    -------
    NDArray[np.float64]
        Shape (..., len(STAKES)), nats.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> log_growth(np.array([-1.0]), one, one, 0.0).round(2)
    array([[0.04, 0.08, 0.15, 0.28, 0.47, 0.67]])
    """
    size = 2 * own_count * reference_count / (own_count + reference_count)
    most = _LARGEST / (1 + np.maximum(margin, 0.0))
    stake = np.minimum(size[..., None] * STAKES, most[..., None])
    growth: Float64 = np.log1p(-stake * (difference + margin)[..., None])
    return growth


def log_growth_of_block(
    difference: float, own_count: int, reference_count: int, margin: float
) -> list[float]:
    """Return the same as ``log_growth`` for one block, without the price of arrays.

    Parameters
    ----------
    difference : float
        Mean of the side that is suspected minus that of the other, -1 to 1.
    own_count : int
        Labels of the suspected side in the block, at least 1.
    reference_count : int
        Labels of the other side, at least 1.
    margin : float
        How much worse is tolerable, above -1.

    Returns
    -------
    list of float
        By stake, nats.

    Examples
    --------
    >>> [round(nats, 2) for nats in log_growth_of_block(-1.0, 1, 1, 0.0)]
    [0.04, 0.08, 0.15, 0.28, 0.47, 0.67]
    """
    size = 2 * own_count * reference_count / (own_count + reference_count)
    most = _LARGEST / (1 + margin) if margin > 0 else _LARGEST
    lead = difference + margin
    log1p = math.log1p
    return [
        log1p(-stake * lead if stake < most else -most * lead)
        for stake in [size * share for share in _STAKES]
    ]


def log_growth_below(count: Float64, total: Float64, level: float) -> Float64:
    """Return the log wealth gained on labels against "every conditional mean is at least level".

    Each label x in [0, 1] multiplies the wealth by at least what a coin of its size would, since
    the logarithm is concave; for labels of 0 and 1 it is exact. So counts and sums are enough.

    Parameters
    ----------
    count : NDArray[np.float64]
        Shape (...): labels.
    total : NDArray[np.float64]
        Shape (...): their sum.
    level : float
        Strictly between 0 and 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (..., len(STAKES)), nats.
    """
    stake = STAKES * _LARGEST
    lost = np.log1p(-stake)
    won = np.log1p(stake * level / (1 - level))
    growth: Float64 = total[..., None] * lost + (count - total)[..., None] * won
    return growth


def wake(log_active: Float64, starts: NDArray[np.int64]) -> Float64:
    """Wake the capital of the next start: it joins what is at stake.

    Parameters
    ----------
    log_active : NDArray[np.float64]
        Shape (..., stakes): log capital at work behind each stake.
    starts : NDArray[np.int64]
        Shape (...): starts made so far; the caller adds 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (..., stakes).
    """
    share = -np.log((starts + 1.0) * (starts + 2.0) * log_active.shape[-1])
    woken: Float64 = np.logaddexp(log_active, share[..., None])
    return woken


def log_wealth(log_active: Float64, starts: NDArray[np.int64]) -> Float64:
    """Return the log of all capital, the sleeping part included.

    Parameters
    ----------
    log_active : NDArray[np.float64]
        Shape (..., stakes).
    starts : NDArray[np.int64]
        Shape (...): starts made so far.

    Returns
    -------
    NDArray[np.float64]
        Shape (...), nats: the evidence. Never above ``log(1/alpha)`` but with chance alpha.
    """
    active = np.logaddexp.reduce(log_active, axis=-1)
    wealth: Float64 = np.logaddexp(active, -np.log(starts + 1.0))
    return wealth
