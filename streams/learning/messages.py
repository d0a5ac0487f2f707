"""Control messages: from a route's state to what serving systems are told."""

from typing import Any

from msgspec import UNSET, UnsetType, structs

from leverframe.schemas.causes import (
    BetterCause,
    BudgetCause,
    Coordinates,
    GuardCause,
    HeartbeatCause,
    Known,
    MetricCause,
    PolicyCause,
    ProbationCause,
    ProposalCause,
    RampCause,
    wire_form,
)
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlKind, ControlMessage
from leverframe.streams.health.closed_loop import loop_summary
from leverframe.streams.learning.approval import proposal_summary
from leverframe.streams.learning.decision import arms_now
from leverframe.streams.learning.delays import delay_quantile_ms
from leverframe.streams.learning.heirs import fallback_of
from leverframe.streams.learning.ramping import ramp_summary
from leverframe.streams.learning.state import RouteState, salt_of, state_digest
from leverframe.streams.routes.route import Route

__all__ = ["burst_place", "complete_cause", "control_message", "heartbeat"]

_QUANTILES = (0.5, 0.9, 0.99)


def burst_place(command: Command, partition: int) -> Coordinates | UnsetType:
    """Where the last reward lies that was counted before the job's own ``decide``, if any was."""
    told = (command.params or {}).get("after_reward")
    before = told - 1 if isinstance(told, int) else -1
    return UNSET if before < 0 else Coordinates(partition, before, burst=True)


def complete_cause(
    cause: Known, state: RouteState, route: Route, now_ms: int, record: Coordinates | UnsetType
) -> Known:
    """Add what is known only after the change: the arms as they are then, and where it lies."""
    if isinstance(cause, HeartbeatCause):
        return cause
    if isinstance(
        cause,
        GuardCause
        | BetterCause
        | PolicyCause
        | ProbationCause
        | RampCause
        | ProposalCause
        | MetricCause
        | BudgetCause,
    ):
        return structs.replace(cause, arms=arms_now(state, route, now_ms), record=record)
    return structs.replace(cause, record=record)


def control_message(
    state: RouteState, route: Route, kind: ControlKind, cause: Known, now_ms: int
) -> ControlMessage:
    """Say what is in force: the next of the route's messages, of which the closed loop is told."""
    state.seq += 1
    weights = {name: 0.0 for name, arm in state.arms.items() if arm.phase != "retired"}
    weights.update(state.weights)
    off = [name for name, arm in state.arms.items() if not arm.is_eligible]
    state.loop.publish((state.epoch, state.seq), state.weights, off, now_ms)
    return ControlMessage(
        route=state.route,
        epoch=state.epoch,
        seq=state.seq,
        kind=kind,
        weights=weights,
        champion=state.champion,
        quarantined=[name for name, arm in state.arms.items() if arm.phase == "quarantined"],
        safe_weights={state.champion: 1.0} if state.champion is not None else {},
        ttl_ms=round(route.settings.ttl_s * 1000),
        issued_at_ms=now_ms,
        salt=_salt_of(state, route, now_ms),
        cause=wire_form(cause),
        shadow_share=route.settings.shadow_share,
        shadow_arms=_shadow_arms(state) if route.settings.shadow_share else [],
        state_digest=state_digest(state),
    )


def _salt_of(state: RouteState, route: Route, now_ms: int) -> str:
    """The salt in force; a job that catches up does not bring a former one back."""
    period_ms = route.reassign_ms
    if period_ms is None:
        return salt_of(state.route)
    state.salt_period = max(state.salt_period, now_ms // period_ms)
    return salt_of(state.route, state.salt_period)


def _joins(state: RouteState, route: Route) -> dict[str, Any]:
    """How the join fares, and whether a prediction without a label is as usual."""
    default = route.default_reward
    return state.join.summary() | ({} if default is None else {"default_reward": default})


def heartbeat(state: RouteState, route: Route, now_ms: int) -> ControlMessage:
    """Say again what is in force, at wall time, so that subscribers know that somebody watches.

    With the cause of the newest routing change, and the arms as they stand now.
    """
    arms = {
        name: structs.replace(
            known,
            label_delay_ms=[
                delay_quantile_ms(state.arms[name].delays, share) for share in _QUANTILES
            ],
            join=state.join.arm_summary(name),
            heir=(fallback_of(state, name) if state.arms[name].is_eligible else None) or UNSET,
        )
        for name, known in arms_now(state, route, now_ms).items()
    }
    in_force = state.loop.published[-1] if state.loop.published else None
    cause = HeartbeatCause(
        last_change=state.cause,
        arms=arms,
        last_known_good=[structs.asdict(reign) for reign in reversed(state.last_known_good)]
        or UNSET,
        joins=_joins(state, route) if state.join.totals else UNSET,
        shadow=state.shadow or UNSET,
        pinned=UNSET if state.pinned is None else state.pinned,
        frozen=True if state.frozen else UNSET,
        following=UNSET
        if in_force is None
        else loop_summary(state.loop, (in_force.epoch, in_force.seq)),
        probation=UNSET
        if state.probation is None
        else structs.asdict(state.probation) | {"share": route.settings.guard.probation_share},
        ramp=ramp_summary(state, route, now_ms) or UNSET,
        proposal=proposal_summary(state) or UNSET,
    )
    return control_message(state, route, "heartbeat", cause, now_ms)


def _shadow_arms(state: RouteState) -> list[str]:
    """Arms that may answer beside the one that is served; with one alone there is no pair."""
    judged = [name for name, arm in state.arms.items() if arm.is_judged]
    return judged if len(judged) > 1 else []
