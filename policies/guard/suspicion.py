"""Has an arm fallen below its own past? A quick question beside the guard's slow and sure one.

Evidence against an arm waits for labels of its reference, of which a route may have few. A fall
below the own past shows in the arm's labels alone, within moments; it convicts nobody, since the
world may have fallen, but it is a reason to give both arms the labels that convict or acquit. The
share of traffic is then a function of the past, so the guard's bets keep their promise.

For each stake, wealth that bets on "the mean is below the past's" starts anew whenever it falls to
1: a sum that looks for a change at any time (CUSUM). It ends when the arm's labels are as before,
when the reference has fallen as well, or when it took too long.

References
----------
Page (1954), Continuous inspection schemes, Biometrika 41. Shin, Ramdas and Rinaldo (2024),
E-detectors, New England Journal of Statistics in Data Science 2(2).
"""

import math
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from leverframe.policies.guard.betting import STAKES
from leverframe.policies.guard.capital import MICRO_NAT
from leverframe.policies.guard.evidence import Firsts
from leverframe.policies.units import FROM_NANO, NANO

__all__ = [
    "ENOUGH",
    "FADED",
    "FALLEN",
    "MEMORY",
    "SHARED",
    "TOO_LONG",
    "Outcome",
    "Suspicion",
    "acquit",
    "begin_anew",
    "forget",
    "log_share",
    "look",
    "slack_of",
    "suspect",
    "weigh",
]

Outcome: TypeAlias = Literal["faded", "shared", "too_long"]

MEMORY: Final = 16_384
"""Labels of the past: with so many, half of them are forgotten."""
ENOUGH: Final = 100
"""Labels of the past below which there is nothing to fall from."""
FALLEN: Final = 8.0
"""Nats of the richest stake at which an arm is suspected: some 500 to 1 over the six of them."""
FADED: Final = 2.3
"""Nats below which a suspicion ends, unless the guard's own evidence speaks against the arm."""
SHARED: Final = 3.0
"""Nats for "the reference fell as much" against "it did not" at which a suspicion ends."""
TOO_LONG: Final = 8192
"""Labels of the arm after which it ends, and the past begins anew."""
_LEAST: Final = 20  # labels of both sides before the reference's fall is judged
_STAKES: Final = [0.99 * float(stake) for stake in STAKES]
_LOST: Final = [math.log1p(-stake) for stake in _STAKES]
_EDGE: Final = 0.001
_FEW_MISSES: Final = 4 * NANO
_LEAST_VARIANCE: Final = 0.01


class Suspicion(Struct, array_like=True):
    """What an arm is held to: its own past.

    Attributes
    ----------
    past : list of int
        Count and sum (1e-9 rewards) of labels before any suspicion.
    seen : list of int
        Firsts up to which it was looked.
    wealth : list of int
        By stake, 1e-6 nats, at least 0; empty before there is a past to fall from.
    since : list of int
        By stake, firsts where its wealth was last 0: a fall can have begun there.
    began : list of int
        While suspected: firsts of arm and reference when that began, and count and sum of the
        reference's past.
    ended : str
        How the newest suspicion ended.
    """

    past: list[int] = field(default_factory=lambda: [0, 0])
    seen: list[int] = field(default_factory=lambda: [0, 0])
    wealth: list[int] = field(default_factory=list)
    since: list[list[int]] = field(default_factory=list)
    began: list[int] = field(default_factory=list)
    ended: str = ""

    @property
    def is_on(self) -> bool:
        """Whether the arm is suspected."""
        return bool(self.began)

    @property
    def nats(self) -> float:
        """Evidence for a fall, of the richest stake."""
        return max(self.wealth, default=0) * MICRO_NAT

    @property
    def fell_at(self) -> list[int]:
        """Firsts where the fall began, as far as the richest stake can tell."""
        if not self.wealth:
            return self.since[0] if self.since else self.seen
        return self.since[self.wealth.index(max(self.wealth))]

    @property
    def has_fallen(self) -> bool:
        """Whether the arm is suspected of being worse than its own past."""
        return bool(self.began) and self.nats >= FADED


def look(suspicion: Suspicion, own: Firsts, margin: float) -> None:
    """Hold the labels since the last look against the past, then count them as past.

    Parameters
    ----------
    suspicion : Suspicion
        Changed in place.
    own : Firsts
        Of the arm, now.
    margin : float
        The guard's; a fall by half of it, and by the error of the past's mean, is none.
    """
    count, total = own[0] - suspicion.seen[0], own[1] - suspicion.seen[1]
    if not count:
        return
    past_count, past_sum = suspicion.past
    if past_count >= ENOUGH:
        mean = past_sum * FROM_NANO / past_count
        error = math.sqrt(max(mean * (1 - mean), 1 / past_count) / past_count)
        level = min(1 - _EDGE, max(_EDGE, mean - margin / 2 - error))
        _bet(suspicion, own, count, total * FROM_NANO, level)
    suspicion.seen = list(own)
    if suspicion.began:
        return
    past_count, past_sum = past_count + count, past_sum + total
    if past_count >= MEMORY:
        past_count, past_sum = past_count // 2, past_sum // 2
    suspicion.past = [past_count, past_sum]


def _bet(suspicion: Suspicion, own: Firsts, count: int, won: float, level: float) -> None:
    """Bet on labels that the mean is below a level, as ``betting.log_growth_below`` does."""
    if not suspicion.wealth:
        suspicion.wealth = [0] * len(_STAKES)
        suspicion.since = [suspicion.seen] * len(_STAKES)
    wealth, since, here = suspicion.wealth, suspicion.since, list(own)
    odds, missed = level / (1 - level), count - won
    for at, stake in enumerate(_STAKES):
        nats = won * _LOST[at] + missed * math.log1p(stake * odds)
        now = wealth[at] + round(nats / MICRO_NAT)
        if now > 0:
            wealth[at] = now
        else:
            wealth[at], since[at] = 0, here


def slack_of(suspicion: Suspicion) -> int:
    """Return how much new labels may miss the full reward, together, before a look is urgent.

    Parameters
    ----------
    suspicion : Suspicion
        That has looked at all labels.

    Returns
    -------
    int
        In 1e-9 rewards: with less than that no stake can reach ``FALLEN``; a few rewards before
        there is a past to fall from; below 0 while the arm is suspected.

    Examples
    --------
    >>> round(slack_of(Suspicion(past=[1000, 900 * 10**9])) / 1e9, 2)
    3.56
    """
    if suspicion.began:
        return -1
    count, total = suspicion.past
    if count < ENOUGH:
        return _FEW_MISSES
    mean = min(1 - _EDGE, max(_EDGE, total * FROM_NANO / count))
    dearest = math.log1p(_STAKES[-1] * mean / (1 - mean))
    return round((FALLEN - suspicion.nats) / dearest * NANO)


def suspect(suspicion: Suspicion, own: Firsts, other: Firsts, other_past: list[int]) -> None:
    """Begin to suspect an arm.

    Parameters
    ----------
    suspicion : Suspicion
        Changed in place.
    own : Firsts
        Of the arm, now.
    other : Firsts
        Of its reference, now.
    other_past : list of int
        Count and sum of the reference's past.
    """
    suspicion.began = [*own, *other, *other_past]


def weigh(suspicion: Suspicion, own: Firsts, other: Firsts, margin: float) -> Outcome | None:
    """Say how a suspicion ends, if it does now.

    Parameters
    ----------
    suspicion : Suspicion
        That is on, and has looked at all labels.
    own : Firsts
        Of the arm, now.
    other : Firsts
        Of its reference, now.
    margin : float
        The guard's.

    Returns
    -------
    str or None
        ``faded``: labels are as before; ``shared``: the reference fell as well; ``too_long``.
    """
    if suspicion.nats < FADED:
        return "faded"
    began = suspicion.began
    count, other_count = own[0] - began[0], other[0] - began[2]
    if min(count, other_count) >= _LEAST and began[4] >= ENOUGH:
        nats = log_share(
            (suspicion.past[0], suspicion.past[1] * FROM_NANO),
            (count, (own[1] - began[1]) * FROM_NANO),
            (began[4], began[5] * FROM_NANO),
            (other_count, (other[1] - began[3]) * FROM_NANO),
            margin,
        )
        if nats > SHARED:
            return "shared"
    return "too_long" if count >= TOO_LONG else None


def log_share(
    past: tuple[float, float],
    now: tuple[float, float],
    other_past: tuple[float, float],
    other_now: tuple[float, float],
    margin: float,
) -> float:
    """Return the log likelihood ratio of "the reference fell as much" to "it did not fall".

    Of normal means, with the error of the reference's past.

    Parameters
    ----------
    past : tuple of float
        Count and sum of the arm's labels before, at least one.
    now : tuple of float
        The same since it is suspected.
    other_past : tuple of float
        The same of the reference, before.
    other_now : tuple of float
        And since.
    margin : float
        The least fall that matters.

    Returns
    -------
    float
        Nats.

    Examples
    --------
    >>> round(log_share((9000, 8100.0), (200, 140.0), (1000, 900.0), (150, 105.0), 0.02), 1)
    16.3
    """
    fall = max(past[1] / past[0] - now[1] / now[0], margin)
    before, after = other_past[1] / other_past[0], other_now[1] / other_now[0]
    middle = (before + after) / 2
    variance = max(middle * (1 - middle), _LEAST_VARIANCE) * (1 / other_past[0] + 1 / other_now[0])
    return -fall * (2 * (after - before) + fall) / (2 * variance)


def acquit(suspicion: Suspicion, own: Firsts, outcome: Outcome) -> None:
    """End a suspicion; but for one that faded, the labels since it began are the new past.

    Parameters
    ----------
    suspicion : Suspicion
        Changed in place.
    own : Firsts
        Of the arm, now.
    outcome : str
        Of ``weigh``.
    """
    began = suspicion.began
    if outcome != "faded":
        begin_anew(suspicion, own, (own[0] - began[0], own[1] - began[1]))
    suspicion.began, suspicion.ended = [], outcome
    suspicion.wealth, suspicion.since = [], [began[:2]]


def forget(suspicion: Suspicion) -> None:
    """Drop a suspicion, since the arm is held against another one now.

    Parameters
    ----------
    suspicion : Suspicion
        Changed in place; what it is held to is the same past.
    """
    suspicion.began, suspicion.wealth, suspicion.since, suspicion.ended = [], [], [], ""


def begin_anew(suspicion: Suspicion, own: Firsts, past: Firsts) -> None:
    """Hold an arm to newer labels from now on, since the world has changed.

    Parameters
    ----------
    suspicion : Suspicion
        Changed in place.
    own : Firsts
        Of the arm, now.
    past : Firsts
        Count and sum of the labels that are its past.
    """
    suspicion.past, suspicion.seen = list(past), list(own)
    suspicion.wealth, suspicion.since = [], [list(own)]
