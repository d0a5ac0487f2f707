"""A ramp at work: when it moves on, when it waits and for what, and how it ends."""

from typing import Any, Final

from msgspec import structs

from leverframe.schemas.causes import RampCause
from leverframe.schemas.command import Command
from leverframe.schemas.errors import RecordError
from leverframe.streams.learning.change import (
    Change,
    Move,
    Promote,
    Propose,
    SetPolicy,
    SetRamp,
)
from leverframe.streams.learning.measured import is_held
from leverframe.streams.learning.proposal import Proposal
from leverframe.streams.learning.ramp import Ramp, RampPlan, plan_of_params, plan_of_settings
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.weights import is_by_hand, policy_of
from leverframe.streams.routes.route import Route

__all__ = ["done_moves", "newcomer_ramp", "propose_ramp", "ramp_moves", "ramp_summary"]


_ACTIONS: Final = ("begin", "pause", "resume", "skip", "abort")
_LIFTED: Final = frozenset({"labels", "inconclusive", "no_data"})  # by a limit that goes on


def propose_ramp(state: RouteState, route: Route, now_ms: int) -> Change | None:
    """Propose the next step of a ramp, that it waits from now on, or its end."""
    ramp = state.ramp
    if ramp is None or ramp.is_paused or state.pinned or state.frozen:
        return None
    if now_ms - ramp.since_ms < ramp.plan.dwell_ms:
        return None
    waits_for, how = _waits_for(state, route, ramp, now_ms), "gate"
    if waits_for and _is_at_limit(ramp, now_ms):
        if ramp.plan.at_limit == "abort":
            return _change(state, "aborted", waits_for, (SetRamp(None),), ramp)
        if ramp.plan.at_limit == "go_on" and waits_for in _LIFTED:
            waits_for, how = _for_a_person(state, route, ramp, now_ms), "limit"
    if waits_for:
        return _waiting(state, route, ramp, waits_for, now_ms)
    return _next_step(state, route, ramp, now_ms, how)


def _is_at_limit(ramp: Ramp, now_ms: int) -> bool:
    limit_ms = ramp.plan.limit_ms
    return limit_ms is not None and now_ms - ramp.since_ms >= ramp.plan.dwell_ms + limit_ms


def _for_a_person(state: RouteState, route: Route, ramp: Ramp, now_ms: int) -> str:
    """``approval`` where a person is asked before the last step; else empty."""
    is_last = _moved_on(state, ramp, now_ms) is None
    return "approval" if is_last and route.settings.promote == "propose" else ""


def _waiting(
    state: RouteState, route: Route, ramp: Ramp, waits_for: str, now_ms: int
) -> Change | None:
    """Say once for what a ramp waits; where it is a person, propose the promotion."""
    more: tuple[Move, ...] = ()
    if waits_for == "approval":
        if state.proposal is not None or now_ms < state.declined.get(ramp.arm, 0):
            return None
        until_ms = now_ms + round(route.settings.approval_s * 1000)
        more = (Propose(Proposal(ramp.arm, now_ms, until_ms, 0.0)),)
    elif waits_for == ramp.waits_for:
        return None
    waiting = structs.replace(ramp, waits_for=waits_for)
    return _change(state, "waiting", waits_for, (SetRamp(waiting), *more), waiting)


def _waits_for(state: RouteState, route: Route, ramp: Ramp, now_ms: int) -> str:
    """What keeps a ramp from its next step though it dwelt long enough; empty: nothing.

    What no limit of time lifts goes first.
    """
    arm = state.arms[ramp.arm]
    cooling_ms = max(state.cooldown_until_ms, arm.held_until_ms)
    on_probation = state.probation is not None and state.probation.arm == ramp.arm
    passing = {"healthy"} if ramp.plan.gate == "healthy" else {"healthy", "inconclusive"}
    obstacles = {
        "harmful": arm.verdict == "harmful",
        "probation": on_probation,
        "metric": is_held(state.measured, route, ramp.arm),
        "cooldown": now_ms < cooling_ms,
        "window": not route.may_change(now_ms),
        "labels": arm.first_count - ramp.labels < ramp.plan.min_labels,
        arm.verdict: arm.verdict not in passing,
    }
    found = (name for name, is_there in obstacles.items() if is_there)
    return next(found, _for_a_person(state, route, ramp, now_ms))


def _next_step(state: RouteState, route: Route, ramp: Ramp, now_ms: int, how: str) -> Change:
    after = _moved_on(state, ramp, now_ms)
    if after is None:
        moves = done_moves(state, route, ramp, Promote(ramp.arm))
        return _change(state, "done", how, moves, ramp, len(ramp.plan.shares))
    return _change(state, "moved", how, (SetRamp(after),), ramp, after.at + 1)


def _moved_on(state: RouteState, ramp: Ramp, now_ms: int) -> Ramp | None:
    """The ramp in its next step; None where that is all of the traffic."""
    at = ramp.at + 1
    if at >= len(ramp.plan.shares) - 1:
        return None
    labels = state.arms[ramp.arm].first_count
    return structs.replace(ramp, at=at, since_ms=now_ms, labels=labels, waits_for="")


def done_moves(state: RouteState, route: Route, ramp: Ramp, promote: Promote) -> tuple[Move, ...]:
    """Return what ends a ramp: its arm becomes the champion, and weights by hand become its own."""
    moves: tuple[Move, ...] = (SetRamp(None), promote)
    if is_by_hand(policy_of(state, route)):
        moves += (SetPolicy("static", {"weights": {ramp.arm: 1.0}}),)
    return moves


def _change(
    state: RouteState,
    step: Any,
    how: str,
    moves: tuple[Move, ...],
    ramp: Ramp,
    at: int | None = None,
) -> Change:
    """What happened at the end of a ramp's step, which is number ``at`` from now on."""
    arm = state.arms[ramp.arm]
    at = ramp.at + 1 if at is None else at
    is_promotion = any(isinstance(move, Promote) for move in moves)
    return Change(
        kind="promotion" if is_promotion else "routing",
        cause=RampCause(
            arm=ramp.arm,
            step=step,
            how=how,
            share=ramp.plan.shares[at - 1],
            at=at,
            of=len(ramp.plan.shares),
            labels=arm.first_count - ramp.labels,
            min_labels=ramp.plan.min_labels,
            verdict=arm.verdict,
        ),
        moves=moves,
        reweighs=step != "waiting",
    )


# -- commands ----------------------------------------------------------------------------------


def ramp_moves(state: RouteState, command: Command, route: Route, now_ms: int) -> tuple[Move, ...]:
    """Return what a ``ramp`` command asks for; ``refused`` or ``invalid`` (RecordError) else."""
    params = dict(command.params or {})
    what = params.pop("do", "begin")
    if not isinstance(what, str) or what not in _ACTIONS:
        raise RecordError("invalid", f"params.do must be one of {', '.join(_ACTIONS)}")
    if what == "begin":
        return (_begun(state, route, command, plan_of_params(params, route.settings.ramp), now_ms),)
    if state.ramp is None:
        raise RecordError("refused", "no ramp is under way on the route")
    if what == "abort":
        return (SetRamp(None),)
    if what == "skip":
        return _skipped(state, route, state.ramp, command, now_ms)
    return (_paused(state.ramp, now_ms, is_paused=what == "pause"),)


def _skipped(
    state: RouteState, route: Route, ramp: Ramp, command: Command, now_ms: int
) -> tuple[Move, ...]:
    after = _moved_on(state, ramp, now_ms)
    if after is None:
        return done_moves(state, route, ramp, Promote(ramp.arm, command.actor))
    return (SetRamp(after),)


def _paused(ramp: Ramp, now_ms: int, *, is_paused: bool) -> Move:
    """A pause, or its end: the step then dwells anew, since nobody watched it meanwhile."""
    if ramp.is_paused == is_paused:
        raise RecordError("refused", f"the ramp is {'' if is_paused else 'not '}paused")
    since_ms = ramp.since_ms if is_paused else now_ms
    return SetRamp(structs.replace(ramp, is_paused=is_paused, since_ms=since_ms, waits_for=""))


def _begun(state: RouteState, route: Route, command: Command, plan: RampPlan, now_ms: int) -> Move:
    name = command.arm
    arm = state.arms.get(name or "")
    if name is None or arm is None:
        known = ", ".join(state.arms)
        raise RecordError("unknown_arm", f"arm {name!r} is not registered; known arms: {known}")
    if state.ramp is not None:
        raise RecordError(
            "refused", f"a ramp of {state.ramp.arm!r} is under way; abort it first, or skip steps"
        )
    if not arm.is_eligible or name == state.champion:
        raise RecordError("refused", f"arm {name!r} is {arm.phase}: there is nothing to ramp up")
    if route.is_holdout(name):
        raise RecordError("refused", f"arm {name!r} is held out: its share stays as it is")
    return SetRamp(Ramp(name, plan, 0, now_ms, arm.first_count))


def newcomer_ramp(state: RouteState, route: Route, name: str, now_ms: int) -> tuple[Move, ...]:
    """Return the move that begins a new arm's ramp, where the settings want one and none goes."""
    is_wanted = route.settings.ramp.new_arms and not route.is_holdout(name)
    if not is_wanted or state.ramp is not None or not state.eligible:
        return ()
    return (SetRamp(Ramp(name, plan_of_settings(route.settings.ramp), 0, now_ms, 0)),)


def ramp_summary(state: RouteState, route: Route, now_ms: int) -> dict[str, Any] | None:
    """Return the plan and where it stands, as heartbeats tell it; None without a ramp.

    What it waits for is as of now: without labels no decision says it.
    """
    ramp = state.ramp
    if ramp is None:
        return None
    plan = ramp.plan
    return {
        "arm": ramp.arm,
        "steps": [round(share * 100, 6) for share in plan.shares],
        "at": ramp.at + 1,
        "share": ramp.share,
        "since_ms": ramp.since_ms,
        "dwell_ms": plan.dwell_ms,
        "labels": state.arms[ramp.arm].first_count - ramp.labels,
        "min_labels": plan.min_labels,
        "gate": plan.gate,
        "waits_for": _waits_for(state, route, ramp, now_ms)
        if now_ms - ramp.since_ms >= plan.dwell_ms
        else "",
        "paused": ramp.is_paused,
    }
