"""What the guard keeps for each arm: open and closed blocks, and the capital bet on them.

Only labels as they first came count here: a block of concurrent labels is closed once, and what was
bet on it is not taken back. Sums are whole numbers of 1e-9 rewards and wealth is kept in 1e-6 nats,
so that a replay gives the same state.
"""

import math
from operator import add
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct, field

from leverframe.policies.guard.betting import log_growth, log_growth_below, log_growth_of_block
from leverframe.policies.guard.capital import MICRO_NAT, Capital, grow, in_micro, new_capital, rouse
from leverframe.policies.units import FROM_NANO

__all__ = [
    "ABOVE",
    "BELOW",
    "BETTER",
    "FINE",
    "WORSE",
    "Evidence",
    "Firsts",
    "observe",
    "observe_pair",
    "restart",
    "restart_level",
    "settle",
    "turn",
]

Firsts: TypeAlias = tuple[int, int]
"""Count and sum (1e-9 rewards mapped to [0, 1]) of an arm's labels as they first came."""

_FEW: Final = 4  # blocks: for more of them numpy is quicker
_SPARE: Final = 3.0  # nats beyond the threshold that are worth keeping
WORSE, FINE, BETTER = range(3)
"""Rows of bets on differences: the arm is worse than tolerable, is not, is better."""
_SIGNS: Final = np.array([[1.0], [-1.0], [-1.0]])
BELOW, ABOVE = range(2)
"""Rows of bets on the level: the arm is below the floor, is not."""


class Evidence(Struct, array_like=True):
    """The guard's memory of one arm.

    Attributes
    ----------
    reference : str
        Name of the arm compared with; "" before there is one.
    block : list of int
        Firsts of arm and reference where the open block began.
    closed : list of list of int
        Blocks not yet bet on: labels and sum of the arm, labels and sum of the reference.
    versus : Capital
        Bets on differences: worse, fine, better.
    level : Capital
        Bets on the floor: below, above.
    settled : list of int
        Firsts of the arm up to which the level was bet on.
    woken : Capital
        The other half of the bets that the arm is worse: it wakes when the arm is suspected.
    pairs : list of int
        Requests that arm and reference both answered, and the sums of their rewards on them, since
        they are compared.
    """

    reference: str = ""
    block: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    closed: list[list[int]] = field(default_factory=list)
    versus: Capital = field(default_factory=lambda: new_capital(3))
    level: Capital = field(default_factory=lambda: new_capital(2))
    settled: list[int] = field(default_factory=lambda: [0, 0])
    woken: Capital = field(default_factory=lambda: new_capital(1))
    pairs: list[int] = field(default_factory=lambda: [0, 0, 0])

    @property
    def place(self) -> list[int]:
        """Where what was seen ends: the open block's begin, then the pairs."""
        return [*self.block, *self.pairs]


def restart(evidence: Evidence, reference: str, own: Firsts, other: Firsts) -> None:
    """Forget what was won and lost, since the reference changed or the arm was released.

    Parameters
    ----------
    evidence : Evidence
        Changed in place; the number of starts goes on.
    reference : str
        Name of the new reference; "" for none.
    own : Firsts
        Of the arm, now.
    other : Firsts
        Of the reference, now.
    """
    evidence.reference = reference
    evidence.block = [*own, *other]
    evidence.closed, evidence.pairs = [], [0, 0, 0]
    fresh = new_capital(3)
    fresh.starts = evidence.versus.starts
    fresh.since = evidence.place
    evidence.versus = fresh
    asleep = new_capital(1)
    asleep.starts = evidence.woken.starts
    evidence.woken = asleep


def restart_level(evidence: Evidence, own: Firsts) -> None:
    """Forget the bets on the floor, since the arm was released.

    Parameters
    ----------
    evidence : Evidence
        Changed in place; the number of starts goes on.
    own : Firsts
        Of the arm, now.
    """
    fresh = new_capital(2)
    fresh.starts = evidence.level.starts
    fresh.since = [*own, 0, 0]
    evidence.level, evidence.settled = fresh, list(own)


def turn(evidence: Evidence, own: Firsts, other: Firsts) -> None:
    """Wake capital for a suspicion; shares move, so the open block is not bet on.

    It looks bad for the arm, or there were no suspicion: to leave it out breaks no promise.

    Parameters
    ----------
    evidence : Evidence
        Changed in place, settled.
    own : Firsts
        Of the arm, now.
    other : Firsts
        Of the reference, now.
    """
    evidence.block = [*own, *other]
    rouse(evidence.woken, evidence.place)


def observe(evidence: Evidence, own: Firsts, other: Firsts) -> None:
    """Close the block at a new label of the arm, if the reference has had one too.

    Parameters
    ----------
    evidence : Evidence
        Changed in place.
    own : Firsts
        Of the arm, with the new label.
    other : Firsts
        Of the reference.
    """
    own_count, own_sum, other_count, other_sum = evidence.block
    if other[0] > other_count:
        evidence.closed.append(
            [own[0] - own_count, own[1] - own_sum, other[0] - other_count, other[1] - other_sum]
        )
        evidence.block = [*own, *other]


def observe_pair(evidence: Evidence, own_nano: int, other_nano: int) -> None:
    """Add a request that arm and reference both answered: a block of its own.

    What makes one request harder than another is the same for both, so few of them tell much. Their
    labels must be in no other block.

    Parameters
    ----------
    evidence : Evidence
        Changed in place.
    own_nano : int
        Reward of the arm, mapped to [0, 1], in 1e-9.
    other_nano : int
        Of the reference, likewise.
    """
    evidence.closed.append([1, own_nano, 1, other_nano])
    count, own, other = evidence.pairs
    evidence.pairs = [count + 1, own + own_nano, other + other_nano]


def settle(
    evidence: Evidence, own: Firsts, *, margin: float, level: float | None, alpha: float
) -> None:
    """Bet on what came since the last time.

    Parameters
    ----------
    evidence : Evidence
        Changed in place.
    own : Firsts
        Of the arm, now.
    margin : float
        How much worse than the reference is tolerable, 0 to 1.
    level : float, optional
        Least tolerable mean reward, strictly between 0 and 1; no bets on it when left out.
    alpha : float
        The arm's error budget; capital far beyond what it asks for is given away, so that an arm
        that was healthy for long does not count as healthy for long after.
    """
    most = math.log(2 / alpha) + _SPARE
    if evidence.closed:
        growth, steps, here = _growth(evidence.closed, margin), len(evidence.closed), evidence.place
        grow(evidence.versus, growth, steps, here, most)
        if evidence.woken.starts:
            grow(evidence.woken, growth[:1], steps, here, most, stride=None)
        evidence.closed = []
    count, total = own[0] - evidence.settled[0], own[1] - evidence.settled[1]
    if level is not None and count:
        counts, sums = np.array([count, count], float), np.array([total, 0.0]) * FROM_NANO
        sums[ABOVE] = count - sums[BELOW]
        grown = np.stack(
            [
                log_growth_below(counts[row], sums[row], least)
                for row, least in ((BELOW, level), (ABOVE, 1 - level))
            ]
        )
        grow(evidence.level, in_micro(grown), count, [*own, 0, 0], most)
    evidence.settled = list(own)


def _growth(closed: list[list[int]], margin: float) -> list[list[float]]:
    """What WORSE, FINE and BETTER won on blocks, by stake, 1e-6 nats."""
    if len(closed) > _FEW:
        blocks = np.array(closed, dtype=np.float64)
        own_count, other_count = blocks[:, 0], blocks[:, 2]
        difference = (blocks[:, 1] / own_count - blocks[:, 3] / other_count) * FROM_NANO
        tolerances = np.array([[margin], [-margin], [0.0]])
        growth = log_growth(_SIGNS * difference, own_count, other_count, tolerances)
        return in_micro(growth.sum(axis=1))
    total: list[float] = []
    for own, own_sum, other, other_sum in closed:
        lead = (own_sum / own - other_sum / other) * FROM_NANO
        new = [
            *log_growth_of_block(lead, own, other, margin),
            *log_growth_of_block(-lead, own, other, -margin),
            *log_growth_of_block(-lead, own, other, 0.0),
        ]
        total = list(map(add, total, new)) if total else new
    flat = [nats / MICRO_NAT for nats in total]
    stakes = len(flat) // 3
    return [flat[:stakes], flat[stakes : 2 * stakes], flat[2 * stakes :]]
