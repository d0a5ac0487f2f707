"""Moves an arm's statistics by exactly what a reward record changes."""

from typing import Final

from leverframe.policies.reward_base import to_unit
from leverframe.policies.units import MICRO, NANO
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.delays import delay_bucket
from leverframe.streams.learning.linear import count_context
from leverframe.streams.routes.route import Route

__all__ = ["count_in_shadow", "count_reward"]

# Smaller ones count as this: one label must not outweigh all others, nor overflow the sum.
SMALLEST_PROPENSITY: Final = 1e-6


def count_reward(arm: ArmState, reward: Reward, route: Route) -> int | None:
    """Count a first reward, a revision or a withdrawal.

    Returns the reward mapped to [0, 1], in 1e-9, where it is the one that the guard is to see of
    this request: the first, or on a route where requests mature what counted at that age.
    """
    settings = route.settings
    first_counted_ms = (
        reward.attributed_at_ms if reward.counted_at_ms is None else reward.counted_at_ms
    )
    bucket = _bucket_of(arm, first_counted_ms // settings.bucket_ms, settings.max_buckets)
    before = arm.count, arm.sum_nano, arm.square_nano
    nano: int | None = None
    delay = delay_bucket(first_counted_ms - reward.predicted_at_ms)
    if reward.previous_reward is not None:
        _shift(arm, reward, route, reward.previous_reward, -1, delay, bucket)
    if reward.reward is not None:
        nano = _shift(arm, reward, route, reward.reward, 1, delay, bucket)
    if settings.delay_correction:
        moved = arm.count - before[0], arm.sum_nano - before[1], arm.square_nano - before[2]
        _count_change(arm, reward, moved)
    is_mature = route.matures_after_ms is not None
    is_first = reward.cause == "expiry" if is_mature else not reward.revision
    return nano if is_first else None


def count_in_shadow(arm: ArmState, reward: Reward, route: Route) -> None:
    """Count a reward of an answer that was not given, apart from all other sums."""
    for value, sign in ((reward.previous_reward, -1), (reward.reward, 1)):
        if value is not None:
            unit = to_unit(value, route.reward_low, route.reward_high)
            arm.in_shadow[0] += sign
            arm.in_shadow[1] += sign * round(unit * NANO)


def _shift(
    arm: ArmState,
    reward: Reward,
    route: Route,
    value: float,
    sign: int,
    delay: int,
    bucket: list[int] | None,
) -> int:
    """Add a reward to all sums, or with a sign of -1 take it out; return it in 1e-9, signed."""
    unit = to_unit(value, route.reward_low, route.reward_high)
    nano, square = sign * round(unit * NANO), sign * round(unit * unit * NANO)
    arm.count += sign
    arm.delays[delay] = arm.delays.get(delay, 0) + sign
    arm.sum_nano += nano
    arm.square_nano += square
    context, propensity = reward.context, reward.propensity
    if context is not None and len(context) == route.settings.context_dimension:
        arm.linear = count_context(arm.linear, context, unit, sign)
    if propensity:
        share = max(propensity, SMALLEST_PROPENSITY)
        arm.inverse_propensity_micro += sign * round(unit / share * MICRO)
    if bucket is not None:
        bucket[0] += sign
        bucket[1] += nano
        bucket[2] += square
    return nano


def _bucket_of(arm: ArmState, index: int, most: int) -> list[int] | None:
    """Count, sum and sum of squares of a time bucket; None where it is forgotten.

    The newest that had a label are kept, however long ago: silence forgets nothing.
    """
    bucket = arm.buckets.get(index)
    if bucket is None and (len(arm.buckets) < most or index > min(arm.buckets)):
        bucket = arm.buckets[index] = [0, 0, 0]
        if len(arm.buckets) > most:
            del arm.buckets[min(arm.buckets)]
    return bucket


def _count_change(arm: ArmState, reward: Reward, moved: tuple[int, int, int]) -> None:
    """Note by how much count, sum and squares moved, at the age that the prediction had then."""
    if any(moved):
        age_ms = max(0, reward.attributed_at_ms - reward.predicted_at_ms)
        sums = arm.changes.setdefault(delay_bucket(age_ms), [0, 0, 0])
        for at, change in enumerate(moved):
            sums[at] += change
