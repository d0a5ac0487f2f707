"""Control messages: from a route's state to what serving systems are told."""

from typing import Any

from msgspec import structs

from leverframe.schemas.control import ControlKind, ControlMessage
from leverframe.streams.health.health import loop_summary
from leverframe.streams.learning.decision import arms_now
from leverframe.streams.learning.delays import delay_quantile_ms
from leverframe.streams.learning.state import RouteState, salt_of, state_digest
from leverframe.streams.routes.route import Route

__all__ = ["control_message", "heartbeat"]


def control_message(
    state: RouteState, route: Route, kind: ControlKind, cause: dict[str, Any], now_ms: int
) -> ControlMessage:
    """Say what is in force; the next of the route's messages.

    Parameters
    ----------
    state : RouteState
        ``seq`` is raised in place, and the closed loop learns what was published.
    route : Route
        Its settings.
    kind : str
        Of the message.
    cause : dict
        Why it is sent.
    now_ms : int
        Time of issue, ms since the epoch.

    Returns
    -------
    ControlMessage
        With the digest of the state.
    """
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
        salt=salt_of(state.route),
        cause=cause,
        state_digest=state_digest(state),
    )


def heartbeat(state: RouteState, route: Route, now_ms: int) -> ControlMessage:
    """Say again what is in force, so that subscribers know that somebody watches.

    Parameters
    ----------
    state : RouteState
        ``seq`` is raised in place.
    route : Route
        Its settings.
    now_ms : int
        Wall time; heartbeats change nothing that a replay compares.

    Returns
    -------
    ControlMessage
        With the cause of the newest routing change, and the arms as they stand now.
    """
    arms = arms_now(state, route, now_ms)
    for name, known in arms.items():
        known["label_delay_ms"] = [
            delay_quantile_ms(state.arms[name].delays, share) for share in (0.5, 0.9, 0.99)
        ]
        known["join"] = state.join.arm_summary(name)
    cause: dict[str, Any] = {"why": "heartbeat", "last_change": state.cause, "arms": arms}
    if state.last_known_good:
        cause["last_known_good"] = [
            structs.asdict(reign) for reign in reversed(state.last_known_good)
        ]
    if state.join.totals:
        cause["joins"] = state.join.summary()
    if state.shadow:
        cause["shadow"] = state.shadow
    if state.pinned is not None:
        cause["pinned"] = state.pinned
    if state.frozen:
        cause["frozen"] = True
    if state.loop.published:
        in_force = state.loop.published[-1]
        cause["following"] = loop_summary(state.loop, (in_force.epoch, in_force.seq))
    return control_message(state, route, "heartbeat", cause, now_ms)
