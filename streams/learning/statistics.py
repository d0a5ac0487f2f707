"""A route's arms as the arrays that policies see, corrected for slow labels where wanted."""

from dataclasses import replace

import numpy as np

from leverframe.policies.delay_correction import corrected_sums
from leverframe.policies.reward_base import to_unit
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.units import MICRO, NANO
from leverframe.streams.health.ages import Ages
from leverframe.streams.learning.delays import middle_ms
from leverframe.streams.learning.linear import linear_stats
from leverframe.streams.learning.pairs import pair_stats
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["arm_stats", "corrected_stats"]


def arm_stats(state: RouteState, bucket_ms: int, context_dimension: int = 0) -> ArmStats:
    """Lay out K arms, in the order of registration; there must be one at least."""
    arms = list(state.arms.values())
    totals = np.array(
        [
            [a.count, a.sum_nano / NANO, a.square_nano / NANO, a.inverse_propensity_micro / MICRO]
            for a in arms
        ]
    )
    names = list(state.arms)
    return ArmStats(
        count=totals[:, 0],
        reward_sum=totals[:, 1],
        reward_square_sum=totals[:, 2],
        inverse_propensity_sum=totals[:, 3],
        eligible=np.array([arm.is_eligible for arm in arms]),
        champion=names.index(state.champion) if state.champion in state.arms else -1,
        validation_score=np.array(
            [np.nan if a.validation_score is None else a.validation_score for a in arms]
        ),
        validation_count=np.array(
            [np.nan if a.validation_count is None else a.validation_count for a in arms]
        ),
        registered_at_ms=np.array([arm.registered_at_ms for arm in arms], dtype=np.int64),
        buckets=_time_buckets(state, bucket_ms),
        linear=linear_stats([arm.linear for arm in arms], state.contexts, context_dimension),
        pairs=pair_stats(state.pairs, names),
        names=tuple(names),
    )


def _time_buckets(state: RouteState, bucket_ms: int) -> TimeBuckets:
    arms = state.arms.values()
    indices = sorted({index for arm in arms for index in arm.buckets})
    cube = np.zeros((3, len(indices), len(arms)))
    position = {index: at for at, index in enumerate(indices)}
    for k, arm in enumerate(arms):
        for index, (count, total, square) in arm.buckets.items():
            cube[:, position[index], k] = count, total / NANO, square / NANO
    return TimeBuckets(
        width_ms=bucket_ms,
        start_ms=np.array([index * bucket_ms for index in indices], dtype=np.int64),
        count=cube[0],
        reward_sum=cube[1],
        reward_square_sum=cube[2],
    )


def corrected_stats(state: RouteState, route: Route, stats: ArmStats, now_ms: int) -> ArmStats:
    """Correct count, sum and sum of squares for labels that are still coming.

    The same object comes back where the route does not correct. Time buckets and linear sums stay
    as they are.
    """
    if not route.settings.delay_correction:
        return stats
    arms = state.arms
    buckets = sorted({bucket for arm in arms.values() for bucket in arm.changes})
    ages_ms = np.array([middle_ms(bucket) for bucket in buckets])
    none = [0, 0, 0]
    changes = np.array(
        [[arm.changes.get(bucket, none) for bucket in buckets] for arm in arms.values()],
        dtype=np.float64,
    ).reshape(len(arms), len(buckets), 3)
    changes[:, :, 1:] /= NANO
    reached = np.array(
        [state.join.ages.get(name, Ages()).reached(ages_ms, now_ms) for name in arms]
    ).reshape(len(arms), len(buckets))
    default = route.default_reward
    unit = None if default is None else to_unit(default, route.reward_low, route.reward_high)
    sums = corrected_sums(changes, reached, unit)
    return replace(stats, count=sums[:, 0], reward_sum=sums[:, 1], reward_square_sum=sums[:, 2])
