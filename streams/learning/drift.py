"""Watches each arm against its own past and proposes what the route's settings say about a drift.

The detectors look after every ``EVERY`` labels of an arm, counted in the arm itself, so that a
replay looks at the same moments.
"""

from typing import Final, Literal

from msgspec import structs

from leverframe.policies.reward_base import to_unit
from leverframe.policies.units import NANO
from leverframe.schemas.causes import DriftCause
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.change import Change, Hold, RollBack
from leverframe.streams.learning.heirs import fallback_of, is_safe_to_leave
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["EVERY", "note_label"]

EVERY: Final = 32
Action = Literal["rollback", "hold", "note"]
_STRONGEST: Final[tuple[Action, ...]] = ("rollback", "hold", "note")


def note_label(state: RouteState, name: str, reward: Reward, route: Route) -> Change | None:
    """Let an arm's detectors see a label that has just been counted; revisions are not shown."""
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
    cause = DriftCause(
        arm=name,
        detectors=[detector for _, detector in found],
        action=next(action for action in _STRONGEST if action in actions),
        mean_before=round(before, 6),
        mean_after=round(after, 6),
    )
    return _propose(state, route, cause, reward.attributed_at_ms)


def _means(rewards: list[float]) -> tuple[float, float]:
    """Mean before the newest labels, and of them."""
    old, new = rewards[:-EVERY] or rewards, rewards[-EVERY:]
    return sum(old) / len(old), sum(new) / len(new)


def _propose(state: RouteState, route: Route, cause: DriftCause, now_ms: int) -> Change:
    name = cause.arm
    if cause.action == "hold":
        until_ms = now_ms + round(route.settings.hold_s * 1000)
        return Change(kind="routing", cause=cause, moves=(Hold(name, until_ms),))
    can_leave = state.arms[name].is_eligible and is_safe_to_leave(state, name)
    if cause.action == "rollback" and can_leave:
        cause = structs.replace(cause, traffic_to=fallback_of(state, name) or "")
        return Change(kind="rollback", cause=cause, moves=(RollBack(name),))
    return Change(kind="routing", cause=cause)
