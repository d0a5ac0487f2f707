"""Watches each arm against its own past and does what the route's settings say about a drift.

The detectors look after every ``EVERY`` labels of an arm, counted in the arm itself, so that a
replay looks at the same moments.
"""

from typing import Any, Final, Literal

from leverframe.policies.reward_base import to_unit
from leverframe.schemas.control import ControlKind
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.arm import NANO, ArmState
from leverframe.streams.learning.fallback import is_safe_to_leave
from leverframe.streams.learning.rollout import roll_back
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["EVERY", "watch"]

EVERY: Final = 32
_STRONGEST: Final[tuple[Literal["rollback", "hold", "note"], ...]] = ("rollback", "hold", "note")


def watch(
    state: RouteState, name: str, reward: Reward, route: Route
) -> tuple[ControlKind, dict[str, Any]] | None:
    """Let an arm's detectors see a label that has just been counted.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The arm.
    reward : Reward
        Revisions are not shown to detectors.
    route : Route
        With its detectors.

    Returns
    -------
    tuple of str and dict, or None
        Kind and cause of the control message that a drift asks for.
    """
    if not route.detectors or reward.reward is None or reward.revision:
        return None
    arm = state.arms[name]
    unit = to_unit(reward.reward, route.reward_low, route.reward_high)
    arm.recent.append(round(unit * NANO))
    del arm.recent[: -max(detector.memory for _, detector in route.detectors)]
    arm.unwatched += 1
    if arm.unwatched < EVERY:
        return None
    arm.unwatched = 0
    rewards = [value / NANO for value in arm.recent]
    found = [
        (action, detector.name)
        for action, detector in route.detectors
        if detector.detects(rewards, EVERY)
    ]
    if not found:
        return None
    before, after = _means(rewards)
    arm.drifts += 1
    arm.recent = []
    # An arm that became better is no danger.
    actions = {action for action, _ in found} if after < before else {"note"}
    action = next(action for action in _STRONGEST if action in actions)
    cause = {
        "why": "drift",
        "arm": name,
        "detectors": [detector for _, detector in found],
        "action": action,
        "mean_before": round(before, 6),
        "mean_after": round(after, 6),
    }
    return _act(state, arm, name, action, cause, route, reward.attributed_at_ms)


def _means(rewards: list[float]) -> tuple[float, float]:
    """Mean before the newest labels, and of them."""
    old, new = rewards[:-EVERY] or rewards, rewards[-EVERY:]
    return sum(old) / len(old), sum(new) / len(new)


def _act(
    state: RouteState,
    arm: ArmState,
    name: str,
    action: str,
    cause: dict[str, Any],
    route: Route,
    now_ms: int,
) -> tuple[ControlKind, dict[str, Any]]:
    if action == "hold":
        arm.held_until_ms = now_ms + round(route.settings.hold_s * 1000)
    can_leave = arm.is_eligible and is_safe_to_leave(state, name)
    if action == "rollback" and can_leave:
        cause["traffic_to"] = roll_back(state, name, route, now_ms)
        return "rollback", cause
    return "routing", cause
