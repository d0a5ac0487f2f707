"""Which replica does not follow: the mix test of each replica by itself, on its heaviest arm.

A replica that is one of fifty moves the route's shares by less than chance does for long; by itself
it is found within its own few hundred predictions. Bounded: so many are watched at a time, and one
that has served nothing for minutes gives its place to another.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from leverframe.policies.guard.capital import Capital, grow, in_micro, new_capital, wealth_of
from leverframe.policies.guard.mix import ODDS_RATIOS, log_growth_of_mix
from leverframe.policies.guard.verdict import arm_alpha

__all__ = ["Stray", "Watched", "Watching", "asleep", "watch"]

_MOST_REPLICAS: Final = 64
_GONE_MS: Final = 180_000


class Watched(Struct, array_like=True):
    """A replica, as the how-many-th it was ever watched, and the bets against its following.

    ``served_ms`` is the stream time of its newest predictions.
    """

    number: int
    bets: Capital
    served_ms: int


class Watching(Struct, array_like=True):
    """The replicas of a route that are watched.

    Attributes
    ----------
    replicas : dict of str to Watched
        By name.
    begun : int
        How many began to be watched; it never goes back, so that their shares of alpha add up to it
        for life.
    """

    replicas: dict[str, Watched]
    begun: int = 0


class Stray(Struct, frozen=True):
    """A replica that does not follow, by the arm that shows it."""

    replica: str
    arm: str
    weight: float
    served: int
    served_of: int
    log_evidence: float
    log_threshold: float


def watch(
    watching: Watching,
    weights: Mapping[str, float],
    draws: Mapping[str, Counter[str]],
    alpha: float,
    now_ms: int,
) -> Stray | None:
    """Bet on what each replica served under some weights; return the one that strays most.

    ``draws`` are predictions by arm, of each replica, until ``now_ms``. Changes ``watching``.
    """
    if not weights:
        return None
    arm = max(weights, key=lambda name: (weights[name], name))
    worst: Stray | None = None
    for replica, counts in draws.items():
        one, total = _place_of(watching, replica, now_ms), sum(counts.values())
        if one is None or not total:
            continue
        threshold = math.log(1 / (arm_alpha(1.0, one.number) * alpha))
        growth = in_micro(log_growth_of_mix(counts[arm], total, weights[arm])[None])
        grow(one.bets, growth, 1, [0, 0, 0, 0], threshold)
        evidence = wealth_of(one.bets)[0]
        if evidence >= threshold and (worst is None or evidence > worst.log_evidence):
            worst = Stray(
                replica=replica,
                arm=arm,
                weight=weights[arm],
                served=counts[arm],
                served_of=total,
                log_evidence=round(evidence, 6),
                log_threshold=round(threshold, 6),
            )
    return worst


def _place_of(watching: Watching, replica: str, now_ms: int) -> Watched | None:
    """Return the replica's place, which begins now if there is room; None without any."""
    known = watching.replicas
    one = known.get(replica)
    if one is None:
        if len(known) >= _MOST_REPLICAS:
            longest = min(known, key=lambda name: known[name].served_ms)
            if now_ms - known[longest].served_ms < _GONE_MS:
                return None
            del known[longest]
        watching.begun += 1
        one = known[replica] = Watched(watching.begun, new_capital(1, len(ODDS_RATIOS)), 0)
    one.served_ms = max(one.served_ms, now_ms)
    return one


def asleep(capital: Capital) -> Capital:
    """Return bets that begin anew: what was found was said."""
    fresh = new_capital(1, len(ODDS_RATIOS))
    fresh.starts = capital.starts
    return fresh
