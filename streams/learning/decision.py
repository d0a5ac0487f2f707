"""One decision: the guard looks, the policy weighs, the shaping limits (DESIGN.md section 7).

Decisions are due by stream time and label counts, never by micro-batch, so that a replay of the
same records in the same order makes the same decisions.
"""

import math
from typing import Any

from leverframe.policies.guard.interval import confidence_interval
from leverframe.policies.guard.verdict import arm_alpha, judge
from leverframe.schemas.control import ControlKind
from leverframe.streams.learning.arm import NANO
from leverframe.streams.learning.guard import DIGITS, compared_for_life, guard, verdict_of
from leverframe.streams.learning.rollout import move, promote
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.weights import is_weighing_due, reweigh
from leverframe.streams.routes.route import Route

__all__ = ["Decision", "arms_now", "decide", "is_due"]

Decision = tuple[ControlKind, dict[str, Any]]
"""Kind and cause of the control message that a decision asks for."""


def is_due(state: RouteState, route: Route, now_ms: int) -> bool:
    """Whether enough stream time or labels have passed since the last decision.

    Parameters
    ----------
    state : RouteState
        Any.
    route : Route
        Its settings.
    now_ms : int
        Stream time.

    Returns
    -------
    bool
        Decided by the records alone.
    """
    settings = route.settings
    return (
        now_ms - state.last_decision_ms >= settings.decision_interval_ms
        or state.labels_since_decision >= settings.decision_labels
    )


def decide(state: RouteState, route: Route, now_ms: int) -> list[Decision]:
    """Judge every arm, then weigh them anew.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    route : Route
        Its settings.
    now_ms : int
        Stream time.

    Returns
    -------
    list of Decision
        What is to be published, in this order; empty when nothing changed enough.
    """
    state.last_decision_ms = max(state.last_decision_ms, now_ms)
    state.labels_since_decision = 0
    rollback = guard(state, route, now_ms)
    if rollback is not None:
        return [("rollback", _cause(state, route, now_ms, "guard", rollback))]
    left = _leave_nursery(state)
    promotion = _promotion(state, route, now_ms)
    if promotion is not None:
        reweigh(state, route, now_ms)
        return [("promotion", _cause(state, route, now_ms, "better", promotion))]
    if not left and not is_weighing_due(state, now_ms):
        return []
    moved = reweigh(state, route, now_ms)
    if moved < route.settings.min_publish_change:
        return []
    return [("routing", _cause(state, route, now_ms, "policy", {}))]


def _cause(
    state: RouteState, route: Route, now_ms: int, why: str, evidence: dict[str, Any]
) -> dict[str, Any]:
    return {"why": why, "arms": arms_now(state, route, now_ms)} | evidence


def _leave_nursery(state: RouteState) -> bool:
    grown = [
        name
        for name, arm in state.arms.items()
        if arm.phase == "nursery" and arm.count >= arm.nursery_until
    ]
    for name in grown:
        move(state, name, "grown")
    return bool(grown)


def _promotion(state: RouteState, route: Route, now_ms: int) -> dict[str, Any] | None:
    """The challenger that is better than the champion, by the guard's own bets turned round."""
    settings = route.settings
    if not settings.promote or state.pinned or state.frozen or now_ms < state.cooldown_until_ms:
        return None
    for name, arm in state.arms.items():
        if arm.phase != "candidate" or arm.evidence.reference != state.champion:
            continue
        if arm.verdict in {"no_data", "harmful"} or arm.held_until_ms > now_ms:
            continue
        alpha = arm_alpha(settings.guard.alpha, arm.registration)
        _, _, better = judge(arm.evidence, alpha=alpha, has_floor=False)
        if better >= math.log(1 / alpha):
            cause = {"arm": name} | compared_for_life(state, name)
            cause |= {
                "alpha": settings.guard.alpha,
                "log_evidence": round(better, DIGITS),
                "log_threshold": round(math.log(1 / alpha), DIGITS),
            }
            promote(state, name, now_ms)
            return cause
    return None


def arms_now(state: RouteState, route: Route, now_ms: int) -> dict[str, Any]:
    """Return what the arms look like, for the cause of a control message.

    Parameters
    ----------
    state : RouteState
        Any.
    route : Route
        Its settings.
    now_ms : int
        Time, ms since the epoch.

    Returns
    -------
    dict
        Phase, verdict, labels, mean reward (mapped to [0, 1]) and its confidence sequence by arm,
        without retired ones.
    """
    alpha = route.settings.guard.alpha
    known: dict[str, Any] = {}
    for name, arm in state.arms.items():
        if arm.phase == "retired":
            continue
        total = arm.sum_nano / NANO
        low, high = confidence_interval(arm.count, total, alpha)
        known[name] = {
            "phase": arm.phase,
            "verdict": verdict_of(arm, route, now_ms),
            "labels": arm.count,
            "mean": round(total / arm.count, DIGITS) if arm.count else None,
            "bounds": [round(low, DIGITS), round(high, DIGITS)],
        }
    return known
