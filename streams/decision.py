"""One decision: the guard looks, the policy weighs, the shaping limits (DESIGN.md section 7).

Decisions are due by stream time and label counts, never by micro-batch, so that a replay of the
same records in the same order makes the same decisions.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from policies.base import Policy
from policies.guard.evidence import Finding, arm_alpha, restart, strongest, update
from policies.guard.two_sample import log_evidence, log_likelihood_ratio
from policies.registry import make_policy
from policies.shaping import shape
from schemas.control import ControlKind
from streams.rollout import fallback_of, promote, roll_back
from streams.routes import Route
from streams.state import NANO, RouteState, arm_stats

__all__ = ["Decision", "arms_now", "decide", "is_due", "reweigh"]

Decision = tuple[ControlKind, dict[str, Any]]
"""Kind and cause of the control message that a decision asks for."""

_DIGITS: Final = 6
_WEIGHT_DIGITS: Final = 9
WEIGH_EVERY_MS: Final = 1000


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
    if not left and not _is_weighing_due(state, now_ms):
        return []
    moved = reweigh(state, route, now_ms)
    if moved < route.settings.min_publish_change:
        return []
    return [("routing", _evidence(state, "policy"))]


def _is_weighing_due(state: RouteState, now_ms: int) -> bool:
    """With many labels a few more move nothing: wait for one in a hundred, or for a second."""
    labels = state.labels
    return (
        labels - state.weighed_labels >= max(1, labels // 100)
        or now_ms - state.weighed_ms >= WEIGH_EVERY_MS
    )


def reweigh(state: RouteState, route: Route, now_ms: int, newcomer: str | None = None) -> float:
    """Let the policy set the target weights, within the limits.

    Parameters
    ----------
    state : RouteState
        ``target`` is changed in place.
    route : Route
        Its settings.
    now_ms : int
        Stream time.
    newcomer : str, optional
        An arm that joins just now.

    Returns
    -------
    float
        Largest difference of an arm's target from its weight in force; infinite when the set of
        arms with traffic changed.
    """
    state.weighed_ms = max(state.weighed_ms, now_ms)
    state.weighed_labels = state.labels
    eligible = state.eligible
    if state.pinned in eligible:
        state.target = {str(state.pinned): 1.0}
    elif not state.frozen or newcomer is not None:
        state.target = _shaped(state, route, now_ms)
    if set(state.weights) != set(state.target):
        return math.inf
    return max(abs(state.target[arm] - share) for arm, share in state.weights.items())


def policy_of(state: RouteState, route: Route) -> Policy:
    """Return the policy in force.

    Parameters
    ----------
    state : RouteState
        May hold one set by command.
    route : Route
        Holds the one of the settings.

    Returns
    -------
    Policy
        Ready to use.
    """
    return route.policy if state.policy is None else make_policy(*state.policy)


def _shaped(state: RouteState, route: Route, now_ms: int) -> dict[str, float]:
    settings = route.settings
    stats = arm_stats(state, settings.bucket_ms)
    names = list(state.arms)
    wanted = policy_of(state, route).propensities(stats, now_ms)
    previous = np.array([state.target.get(name, 0.0) for name in names])
    shaped = shape(
        wanted,
        arms=stats,
        nursery=np.array([arm.phase == "nursery" for arm in state.arms.values()]),
        nursery_share=settings.nursery_share,
        floor=settings.floor,
        previous=previous if previous.sum() > 0 else None,
        max_step=settings.max_step,
    )
    return _rounded(
        {
            name: float(share)
            for name, share, arm in zip(names, shaped.weights, state.arms.values(), strict=True)
            if arm.is_eligible
        }
    )


def _rounded(weights: dict[str, float]) -> dict[str, float]:
    """Round to 1e-9, the rest to the largest: the last bits of numpy differ between processors."""
    rounded = {name: round(share, _WEIGHT_DIGITS) for name, share in weights.items()}
    largest = max(rounded, key=lambda name: (rounded[name], name))
    others = math.fsum(share for name, share in rounded.items() if name != largest)
    rounded[largest] = round(1.0 - others, _WEIGHT_DIGITS)
    return rounded


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
