"""The guard at work: bets on every arm's labels, verdicts, and the rollback that they ask for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leverframe.policies.guard.evidence import observe, restart, settle
from leverframe.policies.guard.verdict import Finding, Verdict, arm_alpha, judge
from leverframe.policies.units import NANO
from leverframe.schemas.causes import GuardCause
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.change import Change, RollBack
from leverframe.streams.learning.rollout import fallback_of, is_safe_to_leave, last_known_good
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = [
    "DIGITS",
    "compared_for_life",
    "note_first_label",
    "propose_rollback",
    "settle_bets",
    "verdict_of",
]

DIGITS: Final = 6


def note_first_label(state: RouteState, arm: ArmState, nano: int | None, now_ms: int) -> None:
    """Let the guard see a request's first label, in 1e-9; None is a later one, and not seen."""
    if nano is None:
        return
    arm.first_count += 1
    arm.first_sum_nano += nano
    arm.last_label_ms = max(arm.last_label_ms, now_ms)
    reference = arm.evidence.reference
    if reference and arm.is_eligible:
        observe(arm.evidence, arm.firsts, state.arms[reference].firsts)


def verdict_of(arm: ArmState, route: Route, now_ms: int) -> Verdict:
    """Return the verdict as it stands now: an eligible arm without recent labels has none."""
    return "no_data" if arm.is_eligible and _is_silent(arm, route, now_ms) else arm.verdict


def _is_silent(arm: ArmState, route: Route, now_ms: int) -> bool:
    return now_ms - arm.last_label_ms > route.settings.guard.no_data_s * 1000


def settle_bets(state: RouteState, route: Route, now_ms: int) -> dict[str, Finding]:
    """Bet on what came since the last decision and write every verdict; return what is harmful."""
    settings = route.settings.guard
    harmful: dict[str, Finding] = {}
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
            harmful[name] = finding
    return harmful


def propose_rollback(
    state: RouteState, route: Route, harmful: Mapping[str, Finding]
) -> Change | None:
    """Propose to roll back the worst harmful arm for which somebody can stand in."""
    if not route.settings.guard.enabled:
        return None
    leaving = [name for name in harmful if is_safe_to_leave(state, name)]
    if not leaving:
        return None
    name = max(leaving, key=lambda name: harmful[name].lead)
    return Change(
        kind="rollback",
        cause=_cause(state, route, name, harmful[name]),
        moves=(RollBack(name),),
    )


def _cause(state: RouteState, route: Route, name: str, finding: Finding) -> GuardCause:
    settings, evidence = route.settings.guard, state.arms[name].evidence
    if finding.test == "champion":
        figures = _compared(state, name, evidence.versus.since) | {"margin": settings.margin}
    else:
        figures = _labels_since(state.arms[name], evidence.level.since)
        figures |= {"reward_floor": settings.reward_floor, "floor_margin": settings.floor_margin}
    return GuardCause(
        arm=name,
        verdict="harmful",
        test=finding.test,
        **figures,
        alpha=settings.alpha,
        log_evidence=round(finding.log_evidence, DIGITS),
        log_threshold=round(finding.log_threshold, DIGITS),
        traffic_to=fallback_of(state, name) or "",
    )


def _reference_of(state: RouteState, name: str) -> str | None:
    """The champion; for the champion itself the last known good, which nothing is held against.

    A challenger that was promoted is better than the arm it replaced; were that one rolled back for
    being worse, there would be nothing left to return to when the new champion breaks.
    """
    reserve = last_known_good(state)
    if name == state.champion:
        return reserve
    return None if name == reserve else state.champion


def compared_for_life(state: RouteState, name: str) -> dict[str, Any]:
    """Return labels and means of an arm and its reference, over both lives.

    For the cause of a promotion: evidence for an arm leaves no stretch behind.
    """
    return _compared(state, name, (0, 0, 0, 0))


def _compared(state: RouteState, name: str, since: Sequence[int]) -> dict[str, Any]:
    """The same since given firsts of the arm and of its reference."""
    arm = state.arms[name]
    reference = arm.evidence.reference
    other = _labels_since(state.arms[reference], since[2:])
    return _labels_since(arm, since[:2]) | {
        "compared_with": reference,
        "reference_labels": other["labels"],
        "reference_mean": other["mean"],
    }


def _labels_since(arm: ArmState, then: Sequence[int]) -> dict[str, Any]:
    labels, total = arm.first_count - then[0], arm.first_sum_nano - then[1]
    return {"labels": labels, "mean": round(total / NANO / labels, DIGITS) if labels else None}
