"""Confidence sequences for a mean and for a difference: intervals that hold at all times at once.

The wealth of a gambler who bets on both sides of m with the Beta(1/2, 1/2) mixture is

    log E(m) = log B(s + 1/2, n - s + 1/2) - log B(1/2, 1/2) - s log m - (n - s) log(1 - m)

after n rewards in [0, 1] of sum s. The interval is all m with log E(m) below log(1/alpha). It is
for people to look at, and holds for a mean that does not change; the guard's verdicts rest on bets
on concurrent labels instead.

For differences d in [-1, 1] of two arms on the same requests, and any stake x in (0, 1),

    exp(x (S - n m) - (-log(1 - x) - x) Q)

is a supermartingale at the true mean m, where S is the sum of d and Q that of d squared. The
interval is all m at which none of some stakes, each with its share of alpha, reaches its threshold;
the other end by the same bets on -d. Where both arms mostly earn the same, Q is small, and so is
the interval.

References
----------
Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS-B
86(1), section 3. Robbins (1970), Statistical methods related to the law of the iterated logarithm,
section 2 (mixtures). Fan, Grama and Liu (2015), Exponential inequalities for martingales with
applications, Electronic Journal of Probability 20; Howard, Ramdas, McAuliffe and Sekhon (2021),
Annals of Statistics 49(2), theorem 4, with the guess 0: differences.
"""

import math
from typing import Final

__all__ = ["confidence_interval", "difference_interval"]

_HALVINGS: Final = 24  # to 6e-8
_EDGE: Final = 1e-12
_STAKES: Final = tuple(0.8 * 2**-power for power in range(12))
"""Best for sums of squares from some ten to 100 million, half or twice the best one at worst."""


def confidence_interval(count: int, total: float, alpha: float) -> tuple[float, float]:
    """Return the interval in which the mean lies at all times with chance ``1 - alpha``.

    Parameters
    ----------
    count : int
        Rewards.
    total : float
        Their sum, each mapped to [0, 1].
    alpha : float
        Chance that the mean ever leaves the interval.

    Returns
    -------
    tuple of float
        Lower and upper end; 0 and 1 without rewards.

    Examples
    --------
    >>> low, high = confidence_interval(1000, 900.0, 0.05)
    >>> round(low, 3), round(high, 3)
    (0.862, 0.931)
    """
    if count <= 0:
        return 0.0, 1.0
    won = min(max(total, 0.0), float(count))
    lost = count - won
    spread = math.lgamma(won + 0.5) + math.lgamma(lost + 0.5) - math.lgamma(count + 1.0)
    room = -math.log(alpha) - spread + math.log(math.pi)
    middle = min(1 - _EDGE, max(_EDGE, won / count))
    return _end(won, lost, room, middle, _EDGE), _end(won, lost, room, middle, 1 - _EDGE)


def _end(won: float, lost: float, room: float, inside: float, outside: float) -> float:
    """Where ``-won log(m) - lost log(1 - m)`` reaches ``room``, between two points."""
    if -won * math.log(outside) - lost * math.log1p(-outside) <= room:
        return round(outside)
    for _ in range(_HALVINGS):
        m = (inside + outside) / 2
        if -won * math.log(m) - lost * math.log1p(-m) <= room:
            inside = m
        else:
            outside = m
    return (inside + outside) / 2


def difference_interval(
    rows: int, total: float, square: float, alpha: float
) -> tuple[float, float]:
    """Return the interval in which the mean difference lies at all times with ``1 - alpha``.

    The mean may move: then it is that of the rows so far, each given its past.

    Parameters
    ----------
    rows : int
        Requests that both arms answered.
    total : float
        Sum of the differences, each in [-1, 1].
    square : float
        Sum of their squares.
    alpha : float
        Chance that it is ever left.

    Returns
    -------
    tuple of float
        Lower and upper end; -1 and 1 without rows.

    Examples
    --------
    >>> low, high = difference_interval(1204, 24.0, 60.0, 0.01)
    >>> round(low, 3), round(high, 3)
    (-0.01, 0.05)
    """
    if rows <= 0:
        return -1.0, 1.0
    nats = math.log(2 * len(_STAKES) / alpha)
    reach = min((nats + max(square, 0.0) * (-math.log1p(-x) - x)) / x for x in _STAKES)
    return max(-1.0, (total - reach) / rows), min(1.0, (total + reach) / rows)
