"""Betting that an arm has more bad requests than it may, where bad ones are rare.

Bets on differences stake at most the whole capital on a block, so an error in twenty wins little of
them, however rare errors are elsewhere. Here the stakes are rates: a gambler who believes that the
arm's rate is ``a`` and its reference's ``b`` is paid in a block of ``n`` and ``m`` requests what

    a^y (1-a)^(n-y) b^z (1-b)^(m-z) / c^(y+z) (1-c)^(n+m-y-z),   c = (n a + m b) / (n + m)

says for ``y`` and ``z`` bad ones. Whatever common rate both have, its mean is 1; it is less where
the arm's is lower, since what the payment depends on rises with ``y`` and falls with ``z``. So the
wealth is a supermartingale while the arm is tolerable, whatever both rates are and however they
move together from block to block. Badness between 0 and 1 counts as that share of a bad request:
by concavity that pays less than a bet on each of them by itself.

A margin shifts the reference: of ``x`` and ``x + margin``, both divided by 1 + margin, means are
equal just where the arm is worse by the margin.

References
----------
Turner, Ly and Gruenwald (2024), Generic E-variables for exact sequential k-sample tests that allow
for optional stopping, Journal of Statistical Planning and Inference 230, section 2.
"""

import math
from typing import Final

__all__ = ["ODDS", "log_growth_above", "log_growth_of_shares"]

ODDS: Final = (2.0, 4.0, 8.0, 16.0)
"""How much higher the odds of a bad request are on the arm, as the gamblers believe."""


def log_growth_of_shares(
    own: tuple[int, float], other: tuple[int, float], rate: float, margin: float
) -> list[float]:
    """Return by how much each gambler's log wealth changes in a block.

    Parameters
    ----------
    own : tuple of int and float
        Requests of the arm in the block, at least 1, and their badness together.
    other : tuple of int and float
        The same of its reference.
    rate : float
        The reference's mean badness, as known before the block, strictly between 0 and 1. A wrong
        one costs power, and nothing else.
    margin : float
        How much more is tolerable, 0 to 1.

    Returns
    -------
    list of float
        By ``ODDS``, nats.

    Examples
    --------
    >>> [round(nats, 2) for nats in log_growth_of_shares((1, 1.0), (19, 0.0), 0.005, 0.0)]
    [0.64, 1.25, 1.79, 2.24]
    """
    own_bad = own[1] / (1 + margin)
    other_bad = (other[1] + margin * other[0]) / (1 + margin)
    base = (rate + margin) / (1 + margin)
    growth = []
    for odds in ODDS:
        believed = odds * base / (1 - base + odds * base)
        common = (own[0] * believed + other[0] * base) / (own[0] + other[0])
        growth.append(
            _log_paid(own[0], own_bad, believed, common)
            + _log_paid(other[0], other_bad, base, common)
        )
    return growth


def _log_paid(count: int, bad: float, believed: float, common: float) -> float:
    """What a belief of one side pays, nats: at least what it would on each request by itself."""
    win, lose = believed / common, (1 - believed) / (1 - common)
    if count == 1:
        return math.log(bad * win + (1 - bad) * lose)
    return bad * math.log(win) + (count - bad) * math.log(lose)


def log_growth_above(bad: float, level: float) -> list[float]:
    """Return the same on a request against "the mean badness is at most level, given the past".

    Parameters
    ----------
    bad : float
        Of the request, 0 to 1.
    level : float
        Strictly between 0 and 1.

    Returns
    -------
    list of float
        By ``ODDS``, nats.

    Examples
    --------
    >>> [round(nats, 2) for nats in log_growth_above(1.0, 0.01)]
    [0.68, 1.36, 2.01, 2.63]
    """
    growth = []
    for odds in ODDS:
        believed = odds * level / (1 - level + odds * level)
        growth.append(math.log1p((bad - level) * (believed - level) / (level * (1 - level))))
    return growth
