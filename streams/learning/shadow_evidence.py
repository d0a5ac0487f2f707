"""What is told of an arm's answers in shadow: for people, beside what the guard bets on."""

from typing import Final

from leverframe.policies.guard.interval import difference_interval
from leverframe.policies.units import NANO
from leverframe.schemas.causes import ShadowEvidence
from leverframe.streams.learning.pairs import Pair, pair_key
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["shadow_evidence"]

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
    pair, sign = _pair_of(state, name) if champion not in {None, name} else (None, 1)
    has_rows = pair is not None and pair.rows > 0
    if not labels and not has_rows and arm.phase != "shadow":
        return None
    mean = round(nano / NANO / labels, _DIGITS) if labels else None
    apart = route.settings.label_depends_on_answer
    if pair is None or not has_rows or champion is None:
        return ShadowEvidence(labels=labels, mean=mean, apart=apart)
    total, square = sign * pair.sum_nano / NANO, pair.square_nano / NANO
    low, high = difference_interval(pair.rows, total, square, route.settings.guard.alpha)
    return ShadowEvidence(
        labels=labels,
        mean=mean,
        compared_with=champion,
        pairs=pair.rows,
        difference=round(total / pair.rows, _DIGITS),
        bounds=[round(low, _DIGITS), round(high, _DIGITS)],
        apart=apart,
    )


def _pair_of(state: RouteState, name: str) -> tuple[Pair | None, int]:
    """The sums of an arm and the champion, and the sign that makes them arm - champion."""
    champion = state.champion or ""
    is_first = state.arms[name].registration < state.arms[champion].registration
    key = pair_key(name, champion) if is_first else pair_key(champion, name)
    return state.pairs.get(key), 1 if is_first else -1
