"""An arm's life as a table of transitions, and what each does to the route.

Authority: automation may take traffic off an arm or follow the policy within its limits. The guard
rolls back whatever is frozen, but not the very arm that a person pinned; a person's rollback goes
through everything, and lifts the pin of its arm.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, assert_never

from leverframe.policies.guard.evidence import restart, restart_level
from leverframe.policies.guard.interval import difference_interval
from leverframe.policies.guard.suspicion import Suspicion
from leverframe.policies.units import NANO
from leverframe.schemas.errors import RecordError
from leverframe.streams.learning.arm import ArmPhase, ArmState
from leverframe.streams.learning.change import (
    Freeze,
    Grow,
    Hold,
    Move,
    Pin,
    Promote,
    Propose,
    PutOnProbation,
    RegisterArm,
    Release,
    Retire,
    RollBack,
    SetPolicy,
    SetRamp,
)
from leverframe.streams.learning.heirs import fallback_of
from leverframe.streams.learning.measured import forget_bets
from leverframe.streams.learning.shadow_evidence import sums_beside
from leverframe.streams.learning.state import Probation, Reign, RouteState
from leverframe.streams.learning.warm_start import prior_of
from leverframe.streams.routes.route import Route

__all__ = [
    "TRANSITIONS",
    "Event",
    "carry_out",
    "check_move",
]

Event: TypeAlias = Literal[
    "registered",
    "registered in shadow",
    "first arm",
    "grown",
    "promoted",
    "succeeded",
    "rolled back",
    "released",
    "retired",
]

TRANSITIONS: Final[Mapping[tuple[ArmPhase | None, Event], ArmPhase]] = {
    (None, "first arm"): "champion",
    (None, "registered"): "nursery",
    (None, "registered in shadow"): "shadow",
    ("shadow", "promoted"): "champion",
    ("shadow", "released"): "nursery",
    ("shadow", "retired"): "retired",
    ("nursery", "grown"): "candidate",
    ("nursery", "promoted"): "champion",
    ("candidate", "promoted"): "champion",
    ("champion", "succeeded"): "candidate",
    ("nursery", "rolled back"): "quarantined",
    ("candidate", "rolled back"): "quarantined",
    ("champion", "rolled back"): "quarantined",
    ("quarantined", "released"): "nursery",
    ("nursery", "retired"): "retired",
    ("candidate", "retired"): "retired",
    ("champion", "retired"): "retired",
    ("quarantined", "retired"): "retired",
}
"""Phase before and what happens, to phase after. Everything else is refused."""

REMEMBERED_CHAMPIONS: Final = 16


# -- what is possible --------------------------------------------------------------------------


def next_phase(state: RouteState, name: str, event: Event) -> ArmPhase:
    """Return the phase after an event; ``refused`` (RecordError) when the table has none."""
    phase = state.arms[name].phase
    after = TRANSITIONS.get((phase, event))
    if after is None:
        possible = [what for before, what in TRANSITIONS if before == phase]
        raise RecordError(
            "refused",
            f"arm {name!r} is {phase} and cannot be {event}; "
            f"it can be: {', '.join(possible) or 'nothing more'}",
        )
    return after


def check_move(state: RouteState, route: Route, move: Move) -> None:
    """Raise ``refused``, ``invalid`` or ``limit`` (RecordError) for an impossible move."""
    match move:
        case RegisterArm():
            if len(state.arms) >= route.settings.max_arms:
                raise RecordError(
                    "limit", f"the route has {len(state.arms)} arms, no more are accepted"
                )
            prior_of(move, route)
        case Promote():
            next_phase(state, move.arm, "promoted")
        case RollBack():
            _check_leaving(state, move.arm, "rolled back", move.to)
        case Retire():
            if state.arms[move.arm].is_eligible:
                _check_leaving(state, move.arm, "retired")
            next_phase(state, move.arm, "retired")
        case Release():
            next_phase(state, move.arm, "released")


def _check_leaving(state: RouteState, name: str, event: Event, heir: str | None = None) -> None:
    if heir is None:
        _heir_of(state, name)
    next_phase(state, name, event)


def _heir_of(state: RouteState, leaving: str) -> str:
    heir = fallback_of(state, leaving)
    if heir is None:
        raise RecordError("refused", f"without {leaving!r} the route would have no eligible arm")
    return heir


# -- what is done ------------------------------------------------------------------------------


def carry_out(state: RouteState, route: Route, moves: Iterable[Move], now_ms: int) -> None:
    """Make moves that ``check_move`` allows, at a stream time."""
    for move in moves:
        match move:
            case RegisterArm():
                _register(state, route, move, now_ms)
            case Promote():
                _promote(state, route, move, now_ms)
            case RollBack():
                _leave(state, move.arm, "rolled back", move.to or _heir_of(state, move.arm))
                cooldown_ms = round(route.settings.guard.cooldown_s * 1000)
                state.cooldown_until_ms = now_ms + cooldown_ms
            case Retire():
                _retire(state, move.arm)
            case Release():
                _release(state, route, move.arm)
            case (
                Grow()
                | Hold()
                | Pin()
                | Freeze()
                | SetPolicy()
                | PutOnProbation()
                | SetRamp()
                | Propose()
            ):
                _set(state, move, now_ms)
            case _:
                assert_never(move)


def _set(
    state: RouteState,
    move: Grow | Hold | Pin | Freeze | SetPolicy | PutOnProbation | SetRamp | Propose,
    now_ms: int,
) -> None:
    """The moves that write one field."""
    match move:
        case Grow():
            _advance(state, move.arm, "grown")
        case Hold():
            state.arms[move.arm].held_until_ms = move.until_ms
        case Pin():
            state.pinned = move.arm
        case Freeze():
            state.frozen = move.is_frozen
        case SetPolicy():
            state.policy = (move.name, move.params)
        case SetRamp() | Propose():
            _plan(state, move)
        case PutOnProbation():
            arm, other = move.arm, move.compared_with
            state.probation = None if arm is None else Probation(arm, other, now_ms)
        case _:
            assert_never(move)


def _advance(state: RouteState, name: str, event: Event) -> None:
    state.arms[name].phase = next_phase(state, name, event)


def _register(state: RouteState, route: Route, move: RegisterArm, now_ms: int) -> None:
    is_first = not state.eligible and not move.in_shadow
    event: Event = "registered in shadow" if move.in_shadow else "registered"
    state.arms[move.arm] = ArmState(
        registration=len(state.arms) + 1,
        registered_at_ms=now_ms,
        validation_score=move.validation_score,
        phase=TRANSITIONS[None, "first arm" if is_first else event],
        nursery_until=route.settings.nursery_labels,
        validation_count=move.validation_count,
        prior=prior_of(move, route),
    )
    if is_first:
        state.champion = move.arm
        state.target = {move.arm: 1.0}
    elif not route.settings.nursery_labels and not move.in_shadow:
        _advance(state, move.arm, "grown")


def _crown(state: RouteState, name: str) -> None:
    """What it is held against is looked up at the next decision."""
    _advance(state, name, "promoted")
    state.champion = name
    state.declined.pop(name, None)
    # What was proved, was proved against the champion that was.
    state.proposal = None
    if state.ramp is not None and state.ramp.arm == name:
        state.ramp = None
    state.last_known_good = [reign for reign in state.last_known_good if reign.arm != name]


def _withdraw(state: RouteState, name: str) -> None:
    """Drop the proposal of an arm, if there is one."""
    if state.proposal is not None and state.proposal.arm == name:
        state.proposal = None


def _plan(state: RouteState, move: SetRamp | Propose) -> None:
    """What is to come: a ramp's next step, or a person's word."""
    if isinstance(move, SetRamp):
        if state.ramp is not None and move.ramp is None:
            _withdraw(state, state.ramp.arm)
        state.ramp = move.ramp
        return
    state.proposal = move.proposal
    if move.declined is not None:
        state.declined[move.declined] = move.until_ms


def _promote(state: RouteState, route: Route, move: Promote, now_ms: int) -> None:
    before, name = state.champion, move.arm
    _crown(state, name)
    if before is not None:
        _advance(state, before, "succeeded")
        arm = state.arms[before]
        mean = round(arm.sum_nano / NANO / arm.count, 6) if arm.count else None
        gap_nano = _gap_nano(state, route, before, name)
        reign = Reign(
            before,
            state.epoch,
            now_ms,
            arm.count,
            mean,
            arm.verdict,
            gap_nano,
            name,
            move.approved_by,
            move.log_evidence,
        )
        # From now on it is held to another measure: no worse than it was known to be.
        restart(arm.evidence, name, arm.alone, state.arms[name].alone)
        arm.against_micro = 0
        state.last_known_good = [r for r in state.last_known_good if r.arm != before] + [reign]
        del state.last_known_good[:-REMEMBERED_CHAMPIONS]
    state.epoch += 1


def _gap_nano(state: RouteState, route: Route, name: str, successor: str) -> int:
    """By how much the mean of an arm's first labels is below its successor's, 1e-9, at least 0.

    On requests that both answered, where those are more: then by how much it may be at most. Pairs
    soon tell a gap that is a little larger than the estimate, and a steady arm is not harmful.
    """
    arm, better = state.arms[name], state.arms[successor]
    pairs = better.evidence.pairs[0]
    if better.evidence.reference == name and pairs > min(arm.alone[0], better.alone[0]):
        rows, total, square = sums_beside(state, successor, name)
        _, most = difference_interval(rows, total, square, route.settings.guard.alpha)
        return max(0, round(most * NANO))
    if not arm.first_count or not better.first_count:
        return 0
    gap = better.first_sum_nano // better.first_count - arm.first_sum_nano // arm.first_count
    return max(0, gap)


def _retire(state: RouteState, name: str) -> None:
    if state.arms[name].is_eligible:
        _leave(state, name, "retired", _heir_of(state, name))
        return
    _advance(state, name, "retired")
    _withdraw(state, name)


def _leave(state: RouteState, name: str, event: Event, heir: str) -> None:
    _advance(state, name, event)
    left = state.arms[name]
    restart(left.evidence, "", left.alone, (0, 0))
    left.against_micro, left.suspicion = 0, Suspicion(seen=list(left.firsts))
    forget_bets(state.measured, name)
    if state.probation is not None and name in {state.probation.arm, state.probation.compared_with}:
        state.probation = None
    if state.ramp is not None and state.ramp.arm == name:
        state.ramp = None
    _withdraw(state, name)
    state.last_known_good = [reign for reign in state.last_known_good if reign.arm != name]
    if state.pinned == name:
        state.pinned = None
    if state.champion == name:
        _crown(state, heir)
    state.epoch += 1
    freed = state.weights.get(name, 0.0)
    weights = {arm: share for arm, share in state.weights.items() if arm != name}
    weights[heir] = weights.get(heir, 0.0) + freed
    state.target = weights


def _release(state: RouteState, route: Route, name: str) -> None:
    """Its old labels stay counted."""
    _advance(state, name, "released")
    arm = state.arms[name]
    arm.nursery_until = arm.count + route.settings.nursery_labels
    arm.verdict = "no_data"
    restart(arm.evidence, "", arm.alone, (0, 0))
    restart_level(arm.evidence, arm.firsts)
    forget_bets(state.measured, name)
    arm.suspicion = Suspicion(seen=list(arm.firsts))
    # What it is suspected for must have happened since.
    arm.last_label_ms, arm.recent, arm.held_until_ms = 0, [], 0
