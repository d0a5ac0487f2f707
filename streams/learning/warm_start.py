"""What is known of an arm before its first label: for policies, never for the guard.

A prior enters the statistics that policies read, and no others: no mean that is shown, no verdict,
no bet, no promotion. Its mass is bounded, so that a wrong one is soon outweighed by labels.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.reward_base import to_unit
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.units import NANO
from leverframe.schemas.errors import RecordError
from leverframe.streams.learning.change import RegisterArm
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["Known", "known_beforehand", "prior_of", "with_priors"]

Float64: TypeAlias = NDArray[np.float64]

LARGEST_SCORE: Final = 1e300
MOST_ROWS: Final = 1_000_000_000_000


class Known(NamedTuple):
    """Score on held-out data, its rows, successes and failures: each None where not given."""

    score: float | None
    rows: int | None
    prior: tuple[float, float] | None


def known_beforehand(params: Mapping[str, Any]) -> Known:
    """Read the parameters of ``register_arm``; ``invalid`` (RecordError) where they are not."""
    score, rows = params.get("validation_score"), params.get("validation_count")
    prior = params.get("prior")
    if score is not None and not (_is_number(score) and abs(score) <= LARGEST_SCORE):
        raise RecordError("invalid", f"params.validation_score must be a number, got {score!r:.80}")
    if rows is not None and not (_is_whole(rows) and 1 <= rows <= MOST_ROWS):
        raise RecordError(
            "invalid", f"params.validation_count must be a number of rows, got {rows!r:.80}"
        )
    if rows is not None and score is None:
        raise RecordError("invalid", "params.validation_count needs params.validation_score")
    if prior is None:
        return Known(None if score is None else float(score), rows, None)
    if rows is not None:
        raise RecordError(
            "invalid",
            "params.prior and params.validation_count say the same in two ways; give one of them",
        )
    is_pair = isinstance(prior, (list, tuple)) and len(prior) == len(("successes", "failures"))
    if not (is_pair and all(_is_number(one) and 0 <= one <= MOST_ROWS for one in prior)):
        raise RecordError(
            "invalid", f"params.prior must be [successes, failures], got {prior!r:.80}"
        )
    return Known(None if score is None else float(score), None, (float(prior[0]), float(prior[1])))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def prior_of(move: RegisterArm, route: Route) -> list[int]:
    """Return successes and failures in 1e-9, at most ``max_prior_labels`` together.

    ``invalid`` (RecordError) for a score that is no mean reward though it comes with its count.
    """
    if move.prior is not None:
        successes, failures = move.prior
    elif move.validation_count is not None and move.validation_score is not None:
        low, high = route.reward_low, route.reward_high
        if not low <= move.validation_score <= high:
            raise RecordError(
                "invalid",
                f"params.validation_score with a count must be a mean reward, {low:g} to {high:g} "
                f"on this route, got {move.validation_score:g}; leave the count out where the "
                "score is something else",
            )
        mean = to_unit(move.validation_score, low, high)
        successes = move.validation_count * mean
        failures = move.validation_count - successes
    else:
        return [0, 0]
    mass = math.fsum((successes, failures))
    scale = min(1.0, route.settings.max_prior_labels / mass) if mass > 0 else 0.0
    return [round(successes * scale * NANO), round(failures * scale * NANO)]


def with_priors(state: RouteState, route: Route, stats: ArmStats) -> ArmStats:
    """Add what was known beforehand to lifetime sums and, at the time of registration, to buckets.

    The same object comes back where no arm has a prior.
    """
    prior = np.array([arm.prior for arm in state.arms.values()], dtype=np.float64) / NANO
    if not prior.any():
        return stats
    successes = prior[:, 0]
    return replace(
        stats,
        count=stats.count + prior.sum(axis=1),
        reward_sum=stats.reward_sum + successes,
        reward_square_sum=stats.reward_square_sum + successes,
        inverse_propensity_sum=stats.inverse_propensity_sum + successes,
        buckets=_in_buckets(state, route, stats.buckets, prior),
        prior=prior,
    )


def _in_buckets(
    state: RouteState, route: Route, buckets: TimeBuckets, prior: Float64
) -> TimeBuckets:
    """As labels that came when the arm was registered; forgotten like those."""
    most, width = route.settings.max_buckets, route.settings.bucket_ms
    begin_ms = [arm.registered_at_ms // width * width for arm in state.arms.values()]
    kept = [
        k
        for k, arm in enumerate(state.arms.values())
        if prior[k].any() and (len(arm.buckets) < most or begin_ms[k] // width >= min(arm.buckets))
    ]
    start_ms = np.union1d(buckets.start_ms, np.array([begin_ms[k] for k in kept], dtype=np.int64))
    cube = np.zeros((3, len(start_ms), len(state.arms)))
    known = np.searchsorted(start_ms, buckets.start_ms)
    cube[:, known] = buckets.count, buckets.reward_sum, buckets.reward_square_sum
    for k in kept:
        at = int(np.searchsorted(start_ms, begin_ms[k]))
        cube[:, at, k] += prior[k].sum(), prior[k, 0], prior[k, 0]
    return TimeBuckets(
        width_ms=buckets.width_ms,
        start_ms=start_ms,
        count=cube[0],
        reward_sum=cube[1],
        reward_square_sum=cube[2],
    )
