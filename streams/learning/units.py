"""Labels of units that may have several requests: the guard sees the first of each period."""

from collections.abc import Mapping

from leverframe.policies.guard.seen import hash_unit, note_unit, seen_in
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.guard import NOBODY, note_first_label
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["note_label_of_unit"]


def note_label_of_unit(
    state: RouteState,
    arm: ArmState,
    reward: Reward,
    route: Route,
    nano: int | None,
    beside: Mapping[str, int] = NOBODY,
) -> None:
    """Let the guard see a request's first label, unless its unit was seen in this period.

    ``nano`` is the label in 1e-9; None is a later one, and not seen. Once whatever the arm: weights
    that move bring heavy users to another arm late in a period, and it would look like them.
    """
    if nano is None:
        return
    now_ms = reward.attributed_at_ms
    # A producer's clock may be ahead.
    served_ms = min(reward.predicted_at_ms, now_ms)
    if reward.unit_id is not None:
        state.units = seen_in(state.units, route.unit_period_ms, now_ms)
        period = served_ms // route.unit_period_ms
        if not note_unit(state.units, hash_unit(reward.unit_id), period):
            arm.last_label_ms = max(arm.last_label_ms, now_ms)
            return
    note_first_label(state, arm, nano, now_ms, beside)
