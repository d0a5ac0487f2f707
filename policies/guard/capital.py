"""Capital that is bet in shares and wakes in portions, as whole numbers that a ledger can keep."""

import math
from collections.abc import Sequence
from operator import add
from typing import Final

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from leverframe.policies.guard.betting import STAKES, STRIDE, wake

__all__ = [
    "MICRO_NAT",
    "Capital",
    "grow",
    "in_micro",
    "log_wealth_of",
    "new_capital",
    "reached",
    "rouse",
    "wealth_of",
]

MICRO_NAT: Final = 1e-6
"""Unit in which wealth is kept, nats."""
_FAR: Final = 45.0  # nats below the richest: what is less changes no bit of the sum
_NOTHING: Final = -700 * 10**6  # in 1e-6 nats: capital that can no longer be told from none


class Capital(Struct, array_like=True):
    """The wealth of a few gamblers who see the same labels.

    Attributes
    ----------
    log_active : list of list of int
        By gambler, then by stake: log capital at work, 1e-6 nats.
    starts : int
        Made so far; it never goes back, so that the shares of all starts add up to 1 for life.
    steps : int
        Observations since the newest start.
    low : int
        The first gambler's log wealth where ``since`` was set, 1e-6 nats.
    since : list of int
        Firsts of arm and reference, and pairs of them, where that gambler was poorest: evidence was
        gathered from here.
    """

    log_active: list[list[int]]
    starts: int = 0
    steps: int = STRIDE
    low: int = 0
    since: list[int] = field(default_factory=lambda: [0, 0, 0, 0])


def new_capital(gamblers: int, stakes: int = len(STAKES)) -> Capital:
    """Return capital that still sleeps.

    Parameters
    ----------
    gamblers : int
        Who see the same labels.
    stakes : int
        Of each.

    Returns
    -------
    Capital
        Before its first start.
    """
    return Capital([[_NOTHING] * stakes for _ in range(gamblers)])


def grow(
    capital: Capital,
    growth: Sequence[Sequence[float]],
    steps: int,
    now: list[int],
    most: float,
    stride: int | None = STRIDE,
) -> None:
    """Win or lose on new observations; a start that is due by ``stride`` comes before them.

    Parameters
    ----------
    capital : Capital
        Changed in place.
    growth : sequence of sequence of float
        By gambler, then by stake: change of log wealth, 1e-6 nats; see ``in_micro``.
    steps : int
        Observations.
    now : list of int
        Where they end, and the next stretch may begin.
    most : float
        Nats; what is beyond is given away.
    stride : int, optional
        Observations between two starts; None where only ``rouse`` makes one.
    """
    before: Sequence[Sequence[float]] = capital.log_active
    if stride is not None and capital.steps >= stride:
        before = _start(capital)
    highest = round(most / MICRO_NAT)
    # A dozen numbers, at every decision: numpy would take longer.
    capital.log_active = [
        [
            highest if new > highest else max(_NOTHING, new)
            for new in map(round, map(add, own, wins))
        ]
        for own, wins in zip(before, growth, strict=True)
    ]
    capital.steps += steps
    if max(capital.log_active[0]) <= capital.low:
        # No richer than it was at its poorest, unless the other stakes make up for it.
        poorest = round(_wealth(capital.log_active[0], capital.starts) / MICRO_NAT)
        if poorest <= capital.low:
            capital.low, capital.since = poorest, list(now)


def in_micro(growth: NDArray[np.float64]) -> list[list[float]]:
    """Return growth as ``grow`` takes it.

    Parameters
    ----------
    growth : NDArray[np.float64]
        Shape (gamblers, stakes), nats.

    Returns
    -------
    list of list of float
        By gambler, then by stake, 1e-6 nats.
    """
    found: list[list[float]] = (growth / MICRO_NAT).tolist()
    return found


def rouse(capital: Capital, now: list[int]) -> None:
    """Wake the capital of the next start now.

    Parameters
    ----------
    capital : Capital
        Changed in place.
    now : list of int
        Firsts of arm and reference, where evidence begins to gather.
    """
    capital.log_active = [[round(own) for own in row] for row in _start(capital)]
    capital.low, capital.since = (
        round(_wealth(capital.log_active[0], capital.starts) / MICRO_NAT),
        now,
    )


def _start(capital: Capital) -> list[list[float]]:
    """Log capital at work after the next start, 1e-6 nats."""
    woken = wake(np.array(capital.log_active) * MICRO_NAT, np.array(capital.starts))
    capital.starts += 1
    capital.steps = 0
    before: list[list[float]] = (woken / MICRO_NAT).tolist()
    return before


def wealth_of(capital: Capital) -> list[float]:
    """Return the log wealth of each gambler, nats.

    Parameters
    ----------
    capital : Capital
        Of ``Evidence``.

    Returns
    -------
    list of float
        By gambler.
    """
    return [_wealth(row, capital.starts) for row in capital.log_active]


def reached(capital: Capital, gambler: int, threshold: float) -> float | None:
    """Return a gambler's log wealth if it has reached a threshold; mostly it is far from that.

    Parameters
    ----------
    capital : Capital
        Of ``Evidence``.
    gambler : int
        Its row.
    threshold : float
        Nats.

    Returns
    -------
    float or None
        Nats; None where it has not.
    """
    row = capital.log_active[gambler]
    if max(0.0, max(row) * MICRO_NAT) + math.log(len(row) + 1.0) < threshold:
        return None
    wealth = _wealth(row, capital.starts)
    return wealth if wealth >= threshold else None


def log_wealth_of(capital: Capital, gambler: int) -> float:
    """Return one gambler's log wealth.

    Parameters
    ----------
    capital : Capital
        Of ``Evidence``.
    gambler : int
        Its row.

    Returns
    -------
    float
        Nats.
    """
    return _wealth(capital.log_active[gambler], capital.starts)


def _wealth(log_active: list[int], starts: int) -> float:
    """Log of the sleeping and the working capital's sum, which neither overflows nor vanishes."""
    sleeping = -math.log(starts + 1.0)
    most = max(sleeping, max(log_active) * MICRO_NAT)
    total, least = math.exp(sleeping - most), (most - _FAR) / MICRO_NAT
    for own in log_active:
        if own > least:
            total += math.exp(own * MICRO_NAT - most)
    return most + math.log(total)
