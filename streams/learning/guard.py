"""The guard at work: bets on every arm's labels, verdicts, and the rollback that they ask for."""

from collections.abc import Iterator
from typing import Any, Final

from leverframe.policies.guard.evidence import observe, restart, settle
from leverframe.policies.guard.verdict import Finding, arm_alpha, judge
from leverframe.streams.learning.arm import NANO, ArmState
from leverframe.streams.learning.fallback import is_safe_to_leave, last_known_good
from leverframe.streams.learning.rollout import roll_back
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["compared", "compared_for_life", "count_first", "guard", "verdict_of"]

DIGITS: Final = 6


def count_first(state: RouteState, arm: ArmState, nano: int | None, now_ms: int) -> None:
    """Let the guard see a request's first label.

    Parameters
    ----------
    state : RouteState
        Of the arm's route.
    arm : ArmState
        Changed in place.
    nano : int or None
        The reward mapped to [0, 1], in 1e-9; None of a later label, which changes nothing here.
    now_ms : int
        Stream time.
    """
    if nano is None:
        return
    arm.first_count += 1
    arm.first_sum_nano += nano
    arm.last_label_ms = max(arm.last_label_ms, now_ms)
    reference = arm.evidence.reference
    if reference and arm.is_eligible:
        observe(arm.evidence, arm.firsts, state.arms[reference].firsts)


def verdict_of(arm: ArmState, route: Route, now_ms: int) -> str:
    """Return the verdict as it stands now: an arm without recent labels has none.

    Parameters
    ----------
    arm : ArmState
        Any.
    route : Route
        Says how old a label may be.
    now_ms : int
        Time, ms since the epoch.

    Returns
    -------
    str
        One of healthy, harmful, inconclusive, no_data.
    """
    if not arm.is_eligible:
        return arm.verdict
    return "no_data" if _is_silent(arm, route, now_ms) else arm.verdict


def _is_silent(arm: ArmState, route: Route, now_ms: int) -> bool:
    return now_ms - arm.last_label_ms > route.settings.guard.no_data_s * 1000


def guard(state: RouteState, route: Route, now_ms: int) -> dict[str, Any] | None:
    """Judge every arm; roll back the worst one that is harmful.

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
    dict or None
        Evidence for the rollback that was done.
    """
    settings = route.settings.guard
    worst: tuple[Finding, str] | None = None
    for name, finding in _harmful(state, route, now_ms):
        can_leave = is_safe_to_leave(state, name)
        if settings.enabled and can_leave and (worst is None or finding.lead > worst[0].lead):
            worst = finding, name
    if worst is None:
        return None
    finding, name = worst
    cause: dict[str, Any] = {"arm": name, "verdict": "harmful", "test": finding.test}
    if finding.test == "champion":
        cause |= compared(state, name) | {"margin": settings.margin}
    else:
        cause |= _since(state.arms[name], state.arms[name].evidence.level.since)
        cause |= {"reward_floor": settings.reward_floor, "floor_margin": settings.floor_margin}
    cause |= {
        "alpha": settings.alpha,
        "log_evidence": round(finding.log_evidence, DIGITS),
        "log_threshold": round(finding.log_threshold, DIGITS),
    }
    cause["traffic_to"] = roll_back(state, name, route, now_ms)
    return cause


def _harmful(state: RouteState, route: Route, now_ms: int) -> Iterator[tuple[str, Finding]]:
    settings = route.settings.guard
    for name in state.eligible:
        arm = state.arms[name]
        reference = _reference_of(state, name) or ""
        other = state.arms[reference].firsts if reference else (0, 0)
        if arm.evidence.reference != reference:
            restart(arm.evidence, reference, arm.firsts, other)
        alpha = arm_alpha(settings.alpha, arm.registration)
        settle(arm.evidence, arm.firsts, margin=settings.margin, level=settings.level, alpha=alpha)
        if arm.first_count == 0 or _is_silent(arm, route, now_ms):
            arm.verdict = "no_data"
            continue
        arm.verdict, finding, _ = judge(
            arm.evidence, alpha=alpha, has_floor=settings.level is not None
        )
        if arm.verdict == "harmful" and finding is not None:
            yield name, finding


def _reference_of(state: RouteState, name: str) -> str | None:
    """The champion; for the champion itself the last known good, which nothing is held against.

    A challenger that was promoted is better than the arm it replaced; were that one rolled back for
    being worse, there would be nothing left to return to when the new champion breaks.
    """
    reserve = last_known_good(state)
    if name == state.champion:
        return reserve
    return None if name == reserve else state.champion


def compared(state: RouteState, name: str) -> dict[str, Any]:
    """Return counts and means of an arm and its reference, since evidence against it gathered.

    Parameters
    ----------
    state : RouteState
        Any.
    name : str
        An arm that has a reference.

    Returns
    -------
    dict
        For the cause of a control message.
    """
    return _beside(state, name, state.arms[name].evidence.versus.since)


def compared_for_life(state: RouteState, name: str) -> dict[str, Any]:
    """Return counts and means of an arm and its reference, of all their labels.

    Parameters
    ----------
    state : RouteState
        Any.
    name : str
        An arm that has a reference.

    Returns
    -------
    dict
        For the cause of a promotion: evidence for an arm leaves no stretch behind.
    """
    return _beside(state, name, [0, 0, 0, 0])


def _beside(state: RouteState, name: str, since: list[int]) -> dict[str, Any]:
    arm = state.arms[name]
    reference = arm.evidence.reference
    own = _since(arm, since[:2])
    other = _since(state.arms[reference], since[2:])
    return own | {
        "compared_with": reference,
        "reference_labels": other["labels"],
        "reference_mean": other["mean"],
    }


def _since(arm: ArmState, then: list[int]) -> dict[str, Any]:
    labels, total = arm.first_count - then[0], arm.first_sum_nano - then[1]
    return {"labels": labels, "mean": round(total / NANO / labels, DIGITS) if labels else None}
