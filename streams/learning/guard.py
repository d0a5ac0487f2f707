"""The guard at work: bets on every arm's labels, verdicts, and the rollback that they ask for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leverframe.policies.guard.capital import MICRO_NAT, wealth_of
from leverframe.policies.guard.evidence import Firsts, observe, observe_pair, restart, settle
from leverframe.policies.guard.suspicion import FALLEN, forget, look, slack_of
from leverframe.policies.guard.verdict import Finding, Verdict, arm_alpha, judge, log_worse
from leverframe.policies.units import FROM_NANO, NANO
from leverframe.schemas.causes import GuardCause
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.change import Change, RollBack
from leverframe.streams.learning.heirs import (
    fallback_of,
    heir_in_shadow,
    is_safe_to_leave,
    reference_of,
)
from leverframe.streams.learning.probation import note_fall
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = [
    "DIGITS",
    "compared_for_life",
    "note_first_label",
    "propose_rollback",
    "settle_bets",
    "tolerance_of",
    "verdict_of",
]

DIGITS: Final = 6
_CALM: Final = 1000 * NANO  # of an arm that nobody could suspect
NOBODY: Final[Mapping[str, int]] = {}


def note_first_label(
    state: RouteState,
    arm: ArmState,
    nano: int | None,
    now_ms: int,
    beside: Mapping[str, int] = NOBODY,
) -> None:
    """Let the guard see a request's first label, in 1e-9; None is a later one, and not seen.

    ``beside`` are the rewards of those who answered the same request in shadow, likewise.
    """
    if nano is None:
        return
    arm.first_count += 1
    arm.first_sum_nano += nano
    arm.slack_nano += nano - NANO
    arm.last_label_ms = max(arm.last_label_ms, now_ms)
    if beside:
        _note_pairs(state, arm, nano, beside)
        return
    evidence = arm.evidence
    if evidence.reference:
        other = state.arms[evidence.reference]
        # Most labels close no block, and this is asked at every label.
        if other.first_count - other.paired[0] > evidence.block[2] and arm.is_eligible:
            observe(evidence, arm.alone, other.alone)


def _note_pairs(state: RouteState, arm: ArmState, nano: int, beside: Mapping[str, int]) -> None:
    """Hold each arm that answered a request against its reference, if that answered too.

    The label is one of all of them, served or not.
    """
    for name, one in state.arms.items():
        own = nano if one is arm else beside.get(name)
        if own is None:
            continue
        one.paired = [one.paired[0] + 1, one.paired[1] + own]
        if one is not arm:
            one.first_count += 1
            one.first_sum_nano += own
            one.slack_nano += own - NANO
        reference = one.evidence.reference
        if not reference or not one.is_judged:
            continue
        other = nano if state.arms[reference] is arm else beside.get(reference)
        if other is not None:
            observe_pair(one.evidence, own, other)


def verdict_of(arm: ArmState, route: Route, now_ms: int) -> Verdict:
    """Return the verdict as it stands now: an eligible arm without recent labels has none."""
    return "no_data" if arm.is_judged and _is_silent(arm, route, now_ms) else arm.verdict


def _is_silent(arm: ArmState, route: Route, now_ms: int) -> bool:
    return now_ms - arm.last_label_ms > route.settings.guard.no_data_s * 1000


def settle_bets(state: RouteState, route: Route, now_ms: int) -> dict[str, Finding]:
    """Bet on what came since the last decision and write every verdict; return what is harmful."""
    settings = route.settings.guard
    harmful: dict[str, Finding] = {}
    for name, arm in state.arms.items():
        arm.slack_nano = _CALM
        if not arm.is_judged:
            continue
        reference = "" if route.is_holdout(name) else reference_of(state, name) or ""
        other = state.arms[reference] if reference else None
        if arm.evidence.reference != reference:
            restart(arm.evidence, reference, arm.alone, other.alone if other else (0, 0))
            forget(arm.suspicion)
        alpha = arm_alpha(settings.alpha, arm.registration)
        margin = tolerance_of(state, route, name)
        settle(arm.evidence, arm.firsts, margin=margin, level=settings.level, alpha=alpha)
        verdict, finding = judge(arm.evidence, alpha=alpha, has_floor=settings.level is not None)
        arm.against_micro = 0 if finding is None else round(finding.log_evidence / MICRO_NAT)
        if arm.is_eligible:
            note_fall(arm, other, settings.margin)
            arm.slack_nano = slack_of(arm.suspicion)
        else:
            # Nobody suspects an arm in shadow; its past tells whether the world has fallen.
            look(arm.suspicion, arm.firsts, settings.margin)
        is_known = arm.first_count or arm.evidence.pairs[0]
        if not is_known or _is_silent(arm, route, now_ms):
            arm.verdict = "no_data"
            continue
        arm.verdict = verdict
        if verdict == "harmful" and finding is not None and arm.is_eligible:
            harmful[name] = finding
    return harmful


def tolerance_of(state: RouteState, route: Route, name: str) -> float:
    """How much worse than its reference an arm may be, in rewards mapped to [0, 1].

    The margin; a former champion stays as the way back though its successor is better, so it may
    be worse by what was known of that, too.
    """
    margin = route.settings.guard.margin
    for reign in state.last_known_good:
        if reign.arm == name:
            return min(1.0, margin + reign.gap_nano * FROM_NANO)
    return margin


def propose_rollback(
    state: RouteState, route: Route, harmful: Mapping[str, Finding]
) -> Change | None:
    """Propose to roll back the worst harmful arm for which somebody can stand in."""
    if not route.settings.guard.enabled:
        return None
    proved = {
        name: _proved_in_shadow(state, route, name, finding) for name, finding in harmful.items()
    }
    leaving = [
        name
        for name, finding in harmful.items()
        if (proved[name] or is_safe_to_leave(state, name))
        and not _is_outdone(state, route, name, finding)
    ]
    if not leaving:
        return None
    name = max(leaving, key=lambda name: harmful[name].lead)
    heir = proved[name]
    return Change(
        kind="rollback",
        cause=_cause(state, route, name, harmful[name], heir or fallback_of(state, name) or ""),
        moves=(RollBack(name, heir),),
    )


def _proved_in_shadow(state: RouteState, route: Route, name: str, finding: Finding) -> str | None:
    """Return the arm in shadow that a champion without rivals is proved to be worse than, if any.

    To land there is a promotion by proof, on the same requests and at the champion's own share of
    alpha; so only where the route may promote. To be below the floor proves nothing of the heir.
    """
    heir = heir_in_shadow(state, name)
    if heir is None or not route.settings.promote or name == state.pinned:
        return None
    return heir if log_worse(state.arms[name].evidence) >= finding.log_threshold else None


def _is_outdone(state: RouteState, route: Route, name: str, finding: Finding) -> bool:
    """Whether a champion is no worse than it was, and a challenger better, which is promoted.

    Where nobody may be promoted it is rolled back like any other. Where a person approves, evidence
    gathers while they think, so chance alone must not look like a fall.
    """
    arm = state.arms[name]
    if name != state.champion or finding.test == "floor" or not route.settings.promote:
        return False
    reference = arm.evidence.reference
    is_former = any(reign.arm == reference for reign in state.last_known_good)
    has_fallen = arm.suspicion.has_fallen
    if route.settings.promote == "propose":
        has_fallen = arm.suspicion.is_on and arm.suspicion.nats >= FALLEN
    return not has_fallen and not is_former


def _cause(state: RouteState, route: Route, name: str, finding: Finding, heir: str) -> GuardCause:
    settings, evidence = route.settings.guard, state.arms[name].evidence
    if finding.test == "champion":
        woken, steady = evidence.woken, evidence.versus
        is_woken = woken.starts and wealth_of(woken)[0] > wealth_of(steady)[0]
        figures = _compared(state, name, (woken if is_woken else steady).since)
        figures["margin"] = round(tolerance_of(state, route, name), DIGITS)
    else:
        arm = state.arms[name]
        figures = _labels_since(arm.firsts, evidence.level.since)
        figures |= {"reward_floor": settings.reward_floor, "floor_margin": settings.floor_margin}
    return GuardCause(
        arm=name,
        verdict="harmful",
        test=finding.test,
        **figures,
        alpha=settings.alpha,
        log_evidence=round(finding.log_evidence, DIGITS),
        log_threshold=round(finding.log_threshold, DIGITS),
        traffic_to=heir,
    )


def compared_for_life(state: RouteState, name: str) -> dict[str, Any]:
    """Return labels and means of an arm and its reference, over both lives.

    For the cause of a promotion: evidence for an arm leaves no stretch behind.
    """
    return _compared(state, name, (0, 0, 0, 0))


def _compared(state: RouteState, name: str, since: Sequence[int]) -> dict[str, Any]:
    """The same since given firsts of the arm and of its reference."""
    arm = state.arms[name]
    reference = arm.evidence.reference
    other = _labels_since(state.arms[reference].alone, since[2:4])
    figures = _labels_since(arm.alone, since[:2]) | {
        "compared_with": reference,
        "reference_labels": other["labels"],
        "reference_mean": other["mean"],
    }
    # State of before there were pairs has none here.
    then = since[4:] or (0, 0, 0)
    pairs, own, rival = (now - one for now, one in zip(arm.evidence.pairs, then, strict=True))
    if pairs:
        figures |= {"pairs": pairs, "pair_difference": round((own - rival) / NANO / pairs, DIGITS)}
    return figures


def _labels_since(firsts: Firsts, then: Sequence[int]) -> dict[str, Any]:
    labels, total = firsts[0] - then[0], firsts[1] - then[1]
    return {"labels": labels, "mean": round(total / NANO / labels, DIGITS) if labels else None}
