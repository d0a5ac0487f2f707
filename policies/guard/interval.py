"""A confidence sequence for an arm's mean: an interval that holds at all times at once.

The wealth of a gambler who bets on both sides of m with the Beta(1/2, 1/2) mixture is

    log E(m) = log B(s + 1/2, n - s + 1/2) - log B(1/2, 1/2) - s log m - (n - s) log(1 - m)

after n rewards in [0, 1] of sum s. The interval is all m with log E(m) below log(1/alpha). It is
for people to look at, and holds for a mean that does not change; the guard's verdicts rest on bets
on concurrent labels instead.

References
----------
Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS-B
86(1), section 3. Robbins (1970), Statistical methods related to the law of the iterated logarithm,
section 2 (mixtures).
"""

import math
from typing import Final

__all__ = ["confidence_interval"]

_HALVINGS: Final = 24  # to 6e-8
_EDGE: Final = 1e-12


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
