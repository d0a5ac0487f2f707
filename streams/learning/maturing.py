"""Sums of arms whose labels are still coming, for routes that correct for how long labels take."""

from dataclasses import replace

import numpy as np

from leverframe.policies.delay_correction import corrected_sums
from leverframe.policies.reward_base import to_unit
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.reward import Reward
from leverframe.streams.health.ages import Ages
from leverframe.streams.learning.arm import NANO, ArmState
from leverframe.streams.learning.delays import delay_bucket, middle_ms
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["corrected_stats", "count_change"]


def count_change(arm: ArmState, reward: Reward, moved: tuple[int, int, int]) -> None:
    """Note by how much an arm's sums moved, at the age that the prediction had then.

    Parameters
    ----------
    arm : ArmState
        Changed in place.
    reward : Reward
        What moved them.
    moved : tuple of int
        Change of count, sum and sum of squares (1e-9).
    """
    if any(moved):
        age_ms = max(0, reward.attributed_at_ms - reward.predicted_at_ms)
        sums = arm.changes.setdefault(delay_bucket(age_ms), [0, 0, 0])
        for at, change in enumerate(moved):
            sums[at] += change


def corrected_stats(state: RouteState, route: Route, stats: ArmStats, now_ms: int) -> ArmStats:
    """Return statistics in which count, sum and sum of squares are corrected for delays.

    Parameters
    ----------
    state : RouteState
        Knows what became known at which age, and how many predictions reached it.
    route : Route
        Its settings.
    stats : ArmStats
        As they are without correction; time buckets and linear sums stay so.
    now_ms : int
        Stream time.

    Returns
    -------
    ArmStats
        The same where the route does not correct.
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
