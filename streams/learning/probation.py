"""Probation: who is suspected, and what is asked for until labels convict or acquit them.

A suspicion is an observation on each arm; probation is what is done about one of them. Convicting
is left to the guard's bets alone.
"""

import math
from typing import Final

from leverframe.policies.guard.capital import MICRO_NAT
from leverframe.policies.guard.evidence import turn
from leverframe.policies.guard.suspicion import (
    FALLEN,
    Outcome,
    acquit,
    begin_anew,
    look,
    suspect,
    weigh,
)
from leverframe.policies.units import NANO
from leverframe.schemas.causes import ProbationCause
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.change import Change, PutOnProbation
from leverframe.streams.learning.heirs import is_doubted
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["note_fall", "on_probation", "propose_probation"]

_DIGITS: Final = 6


def note_fall(arm: ArmState, reference: ArmState | None, margin: float) -> None:
    """Look at an arm's new labels: a suspicion of it begins, goes on or ends."""
    suspicion = arm.suspicion
    look(suspicion, arm.firsts, margin)
    if reference is None:
        return
    if not suspicion.is_on:
        if suspicion.nats >= FALLEN or is_doubted(arm):
            suspect(suspicion, arm.firsts, reference.firsts, reference.suspicion.past)
            turn(arm.evidence, arm.alone, reference.alone)
        return
    outcome = weigh(suspicion, arm.firsts, reference.firsts, margin)
    if outcome is not None and (outcome == "too_long" or not is_doubted(arm)):
        _acquit(arm, reference, outcome)


def _acquit(arm: ArmState, reference: ArmState, outcome: Outcome) -> None:
    began, other = arm.suspicion.began, reference.firsts
    acquit(arm.suspicion, arm.firsts, outcome)
    if outcome != "faded" and not reference.suspicion.is_on:
        begin_anew(reference.suspicion, other, (other[0] - began[2], other[1] - began[3]))


def propose_probation(state: RouteState, route: Route) -> Change | None:
    """Propose to end a probation, or to begin one where it would change what is learned."""
    share = route.settings.guard.probation_share
    may_act = route.settings.guard.enabled and share > 0
    may_act = may_act and state.pinned is None and not state.frozen
    now = state.probation
    if now is None:
        name = _suspect_of(state, route) if may_act else None
        if name is None:
            return None
        arm = state.arms[name]
        how = "fallen" if arm.suspicion.nats >= FALLEN else "against"
        cause = _cause(arm, name, share, "begun", how, arm.evidence.reference)
        move = PutOnProbation(name, arm.evidence.reference)
    else:
        arm = state.arms[now.arm]
        may_act = may_act and not _is_ramped(state, now.compared_with)
        if may_act and arm.suspicion.is_on and arm.evidence.reference == now.compared_with:
            return None
        how = "moved" if arm.suspicion.is_on else arm.suspicion.ended or "moved"
        how = how if may_act else "overruled"
        cause = _cause(arm, now.arm, share, "ended", how, now.compared_with)
        move = PutOnProbation(None)
    return Change(kind="routing", cause=cause, moves=(move,), reweighs=True)


def _is_ramped(state: RouteState, name: str) -> bool:
    """Whether a person bounded the arm's share by a ramp, which no suspicion of another lifts."""
    return state.ramp is not None and state.ramp.arm == name


def _suspect_of(state: RouteState, route: Route) -> str | None:
    """The suspect with most traffic, of whom or of whose reference a probation moves the share."""
    share, least = route.settings.guard.probation_share, route.settings.min_publish_change
    found: list[tuple[float, str]] = []
    for name in state.eligible:
        arm = state.arms[name]
        reference = arm.evidence.reference
        if not arm.suspicion.is_on or route.is_holdout(name) or _is_ramped(state, reference):
            continue
        if not reference or state.arms[reference].phase in {"nursery", "shadow"}:
            # A beginner is no measure, and one in shadow is labelled as it is, without traffic.
            continue
        own, other = state.weights.get(name, 0.0), state.weights.get(reference, 0.0)
        if max(own - share, min(own, share) - other) > least:
            found.append((own, name))
    return max(found)[1] if found else None


def _cause(
    arm: ArmState, name: str, share: float, step: str, how: str, reference: str
) -> ProbationCause:
    suspicion = arm.suspicion
    begun = suspicion.began[:2] if step == "ended" else []
    count, total = begun or suspicion.fell_at
    labels, nano = arm.first_count - count, arm.first_sum_nano - total
    past_count, past_sum = suspicion.past
    return ProbationCause(
        arm=name,
        step="begun" if step == "begun" else "ended",
        how=how,
        share=share,
        labels=labels,
        mean=round(nano / NANO / labels, _DIGITS) if labels else None,
        mean_before=round(past_sum / NANO / past_count, _DIGITS) if past_count else None,
        compared_with=reference,
        log_evidence=round(arm.against_micro * MICRO_NAT, _DIGITS),
        log_fall=round(suspicion.nats, _DIGITS),
    )


def on_probation(
    wanted: dict[str, float], suspect: str, reference: str, share: float, least: dict[str, float]
) -> dict[str, float]:
    """Bound a suspect's share, and give the rest to its reference, but for what others have least.

    Unchanged where the suspect has no more than its share and the reference at least as much.

    Examples
    --------
    >>> on_probation({"a": 0.02, "b": 0.9, "c": 0.08}, "b", "a", 0.5, {"c": 0.02})
    {'a': 0.48, 'b': 0.5, 'c': 0.02}
    """
    own, other = wanted[suspect], wanted[reference]
    if own <= share and other >= own:
        return wanted
    held = {
        name: min(weight, least.get(name, 0.0))
        for name, weight in wanted.items()
        if name not in {suspect, reference}
    }
    held[suspect] = min(own, share)
    rest = 1.0 - math.fsum(held.values())
    return {name: round(held.get(name, rest), 9) for name in wanted}
