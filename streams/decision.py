"""One decision: the guard looks, the policy weighs, the shaping limits (DESIGN.md section 7).

Decisions are due by stream time and label counts, never by micro-batch, so that a replay of the
same records in the same order makes the same decisions.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from policies.guard.evidence import Finding, arm_alpha, restart, strongest, update
from policies.guard.two_sample import log_evidence, log_likelihood_ratio
from schemas.control import ControlKind
from streams.rollout import fallback_of, promote, roll_back
from streams.routes import Route
from streams.state import NANO, RouteState
from streams.weighing import is_weighing_due, reweigh

__all__ = ["Decision", "arms_now", "decide", "is_due"]

Decision = tuple[ControlKind, dict[str, Any]]
"""Kind and cause of the control message that a decision asks for."""

_DIGITS: Final = 6


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
    rollback = _guard(state, route)
    if rollback is not None:
        return [rollback]
    left = _leave_nursery(state)
    promotion = _promotion(state, route)
    if promotion is not None:
        reweigh(state, route, now_ms)
        return [promotion]
    if not left and not is_weighing_due(state, now_ms):
        return []
    moved = reweigh(state, route, now_ms)
    if moved < route.settings.min_publish_change:
        return []
    return [("routing", _evidence(state, "policy"))]


# -- the guard -----------------------------------------------------------------------------------


def _reference_of(state: RouteState, name: str) -> str | None:
    """The champion; for the champion itself the last known good, which nothing is held against.

    A challenger that was promoted is better than the arm it replaced; were that one rolled back for
    being worse, there would be nothing left to return to when the new champion breaks.
    """
    known_good = [arm for arm in state.last_known_good if state.arms[arm].is_eligible]
    reserve = known_good[-1] if known_good else None
    if name == state.champion:
        return reserve
    return None if name == reserve else state.champion


def _guard(state: RouteState, route: Route) -> Decision | None:
    worst: tuple[float, str, str, Finding] | None = None
    settings = route.settings.guard
    for name in state.eligible:
        reference = _reference_of(state, name)
        if reference is None or name == state.pinned:
            continue
        arm = state.arms[name]
        if arm.evidence.reference != reference:
            restart(arm.evidence, reference)
        compared = state.arms[reference].totals
        finding = strongest(
            arm.evidence,
            arm.totals,
            compared,
            alpha=arm_alpha(settings.alpha, arm.registration),
            margin=settings.margin,
        )
        update(arm.evidence, arm.totals, compared)
        if finding is not None and finding.is_harmful:
            lead = finding.log_evidence - finding.log_threshold
            if worst is None or lead > worst[0]:
                worst = (lead, name, reference, finding)
    if worst is None or not settings.enabled or fallback_of(state, worst[1]) is None:
        return None
    _, name, reference, finding = worst
    heir = roll_back(state, name)
    cause = _evidence(state, "guard")
    cause |= {
        "arm": name,
        "verdict": "harmful",
        "compared_with": reference,
        "traffic_to": heir,
        "labels": finding.count,
        "mean": round(finding.mean, _DIGITS),
        "reference_labels": finding.reference_count,
        "reference_mean": round(finding.reference_mean, _DIGITS),
        "margin": settings.margin,
        "alpha": settings.alpha,
        "log_evidence": round(finding.log_evidence, _DIGITS),
        "log_threshold": round(finding.log_threshold, _DIGITS),
    }
    return ("rollback", cause)


def _leave_nursery(state: RouteState) -> bool:
    grown = [
        arm
        for arm in state.arms.values()
        if arm.phase == "nursery" and arm.count >= arm.nursery_until
    ]
    for arm in grown:
        arm.phase = "candidate"
    return bool(grown)


def _promotion(state: RouteState, route: Route) -> Decision | None:
    """The challenger that is better than the champion, by the guard's own test turned round."""
    if not route.settings.promote or state.pinned or state.frozen or state.champion is None:
        return None
    champion = state.arms[state.champion]
    for name, arm in state.arms.items():
        starts = arm.evidence.starts
        if arm.phase != "candidate" or name == state.champion or not starts:
            continue
        start = starts[0]
        challenger = _since((start.count, start.sum_nano), arm.totals)
        incumbent = _since((start.reference_count, start.reference_sum_nano), champion.totals)
        alpha = arm_alpha(route.settings.guard.alpha, arm.registration)
        threshold = math.log((start.index + 1) * (start.index + 2) / alpha)
        if (
            arm.evidence.reference != state.champion
            or log_likelihood_ratio(incumbent, challenger, 0.0, threshold) < threshold
        ):
            continue
        evidence = log_evidence(incumbent, challenger, 0.0)
        if evidence >= threshold:
            before = state.champion
            promote(state, name)
            cause = _evidence(state, "better")
            cause |= {
                "arm": name,
                "compared_with": before,
                "labels": challenger[0],
                "mean": round(challenger[1] / challenger[0], _DIGITS),
                "reference_labels": incumbent[0],
                "reference_mean": round(incumbent[1] / incumbent[0], _DIGITS),
                "log_evidence": round(evidence, _DIGITS),
                "log_threshold": round(threshold, _DIGITS),
            }
            return ("promotion", cause)
    return None


def _since(start: Sequence[int], totals: tuple[int, int]) -> tuple[int, float]:
    return totals[0] - start[0], (totals[1] - start[1]) / NANO


def _evidence(state: RouteState, why: str) -> dict[str, Any]:
    return {"why": why, "arms": arms_now(state)}


def arms_now(state: RouteState) -> dict[str, Any]:
    """Return what the arms look like, for the cause of a control message.

    Parameters
    ----------
    state : RouteState
        Any.

    Returns
    -------
    dict
        Phase, labels and mean reward (mapped to [0, 1]) by arm, without retired ones.
    """
    return {
        name: {
            "phase": arm.phase,
            "labels": arm.count,
            "mean": round(arm.sum_nano / NANO / arm.count, _DIGITS) if arm.count else None,
        }
        for name, arm in state.arms.items()
        if arm.phase != "retired"
    }
