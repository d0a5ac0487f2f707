"""What is told of an arm's answers in shadow: for people, beside what the guard bets on."""

from typing import Final

from leverframe.policies.guard.interval import difference_interval
from leverframe.policies.units import NANO
from leverframe.schemas.evidence import ShadowEvidence
from leverframe.streams.learning.pairs import pair_key
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["shadow_evidence", "sums_beside"]

_DIGITS: Final = 6


def shadow_evidence(state: RouteState, route: Route, name: str) -> ShadowEvidence | None:
    """Say how an arm does in shadow; None where it has no part in any.

    Parameters
    ----------
    state : RouteState
        With the arm.
    route : Route
        Its settings: the bounds hold at the guard's ``alpha``.
    name : str
        Of the arm.

    Returns
    -------
    ShadowEvidence or None
        With the difference to the champion on all requests that both answered, for life.
    """
    arm = state.arms[name]
    labels, nano = arm.in_shadow
    champion = state.champion
    rows, total, square = 0, 0.0, 0.0
    if champion is not None and champion != name:
        rows, total, square = sums_beside(state, name, champion)
    if not labels and rows <= 0 and arm.phase != "shadow":
        return None
    mean = round(nano / NANO / labels, _DIGITS) if labels else None
    apart = route.settings.label_depends_on_answer
    if champion is None or rows <= 0:
        return ShadowEvidence(labels=labels, mean=mean, apart=apart)
    low, high = difference_interval(rows, total, square, route.settings.guard.alpha)
    return ShadowEvidence(
        labels=labels,
        mean=mean,
        compared_with=champion,
        pairs=rows,
        difference=round(total / rows, _DIGITS),
        bounds=[round(low, _DIGITS), round(high, _DIGITS)],
        apart=apart,
    )


def sums_beside(state: RouteState, name: str, other: str) -> tuple[int, float, float]:
    """Return on how many requests two arms met, the sum of differences and that of their squares.

    Parameters
    ----------
    state : RouteState
        With both arms.
    name, other : str
        Differences are the reward of ``name`` minus that of ``other``, mapped to [0, 1].

    Returns
    -------
    tuple of int, float, float
        Zeros where they never met.
    """
    is_first = state.arms[name].registration < state.arms[other].registration
    pair = state.pairs.get(pair_key(name, other) if is_first else pair_key(other, name))
    if pair is None:
        return 0, 0.0, 0.0
    sign = 1 if is_first else -1
    return pair.rows, sign * pair.sum_nano / NANO, pair.square_nano / NANO
