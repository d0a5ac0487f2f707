"""From statistics to the weights that a route should have: the policy, then the limits."""

import math
from typing import Final

import numpy as np

from leverframe.policies.base import Policy
from leverframe.policies.registry import make_policy
from leverframe.policies.shaping import floor_of, nursery_of, shape
from leverframe.policies.statistics import ArmStats
from leverframe.streams.learning.budget import within_budget
from leverframe.streams.learning.probation import on_probation
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.statistics import arm_stats, corrected_stats
from leverframe.streams.learning.warm_start import with_priors
from leverframe.streams.routes.route import Route

__all__ = ["is_by_hand", "is_weighing_due", "policy_of", "reweigh", "with_share"]

_WEIGHT_DIGITS: Final = 9
WEIGH_EVERY_MS: Final = 1000


def is_weighing_due(state: RouteState, now_ms: int) -> bool:
    """With many labels a few more move nothing: wait for one in a hundred, or for a second."""
    labels = state.labels
    return (
        labels - state.weighed_labels >= max(1, labels // 100)
        or now_ms - state.weighed_ms >= WEIGH_EVERY_MS
    )


def reweigh(state: RouteState, route: Route, now_ms: int, newcomer: str | None = None) -> float:
    """Let the policy set the target weights, within the limits.

    Frozen weights make room for a newcomer. Returns the largest difference of an arm's target from
    its weight in force; infinite when the set of arms with traffic changed.
    """
    state.weighed_ms = max(state.weighed_ms, now_ms)
    state.weighed_labels = state.labels
    settings = route.settings
    stats = arm_stats(state, settings.bucket_ms, settings.context_dimension)
    stats = with_priors(state, route, corrected_stats(state, route, stats, now_ms))
    if state.pinned in state.eligible:
        state.target = {str(state.pinned): 1.0}
    elif state.frozen and newcomer is not None:
        state.target = _with_newcomer(state, route, newcomer)
    elif not state.frozen:
        policy = policy_of(state, route)
        wanted = _shaped(state, route, policy, stats, state.target, now_ms)
        if not is_by_hand(policy):
            wanted = _held(state, route, wanted, now_ms)
        if state.ramp is not None:
            wanted = with_share(wanted, state.ramp.arm, state.ramp.share)
        wanted = _on_probation(state, route, wanted)
        wanted = _with_holdout(state, route, wanted)
        within = within_budget(state, route, wanted)
        state.target = wanted if within == wanted else _rounded(within)
    state.shadow = {
        name: _shaped(state, route, policy, stats, state.shadow.get(name, {}), now_ms)
        for name, policy in route.shadow.items()
    }
    if set(state.weights) != set(state.target):
        return math.inf
    return max(abs(state.target[arm] - share) for arm, share in state.weights.items())


def is_by_hand(policy: Policy) -> bool:
    """Whether a policy's weights are published as they are."""
    return getattr(policy, "is_by_hand", False)


def policy_of(state: RouteState, route: Route) -> Policy:
    """Return the policy in force: the one set by command, else that of the settings."""
    return route.policy if state.policy is None else make_policy(*state.policy)


def _shaped(
    state: RouteState,
    route: Route,
    policy: Policy,
    stats: ArmStats,
    before: dict[str, float],
    now_ms: int,
) -> dict[str, float]:
    settings = route.settings
    names = list(state.arms)
    wanted = policy.propensities(stats, now_ms)
    if is_by_hand(policy):
        return _rounded(
            {name: float(wanted[at]) for at, name in enumerate(names) if stats.eligible[at]}
        )
    previous = np.array([before.get(name, 0.0) for name in names])
    shaped = shape(
        wanted,
        arms=stats,
        nursery=np.array([arm.phase == "nursery" for arm in state.arms.values()]),
        nursery_share=settings.nursery_share,
        floor=settings.floor,
        previous=previous if previous.sum() > 0 else None,
        max_step=settings.max_step,
    )
    return _rounded(
        {
            name: float(share)
            for name, share, arm in zip(names, shaped, state.arms.values(), strict=True)
            if arm.is_eligible
        }
    )


def _with_newcomer(state: RouteState, route: Route, name: str) -> dict[str, float]:
    """Frozen weights make room for an arm that a person lets in, in proportion, and for no more."""
    phases, eligible = [arm.phase for arm in state.arms.values()], len(state.eligible)
    share = (
        nursery_of(route.settings.nursery_share, phases.count("nursery"), eligible)
        if state.arms[name].phase == "nursery"
        else floor_of(route.settings.floor, eligible)
    )
    rest = {arm: weight * (1.0 - share) for arm, weight in state.target.items() if arm != name}
    return _rounded(rest | {name: share})


def _held(
    state: RouteState, route: Route, wanted: dict[str, float], now_ms: int
) -> dict[str, float]:
    """Keep shares from growing after a drift or a rollback; what is left over goes to the rest."""
    cooling = state.cooldown_until_ms > now_ms
    held = {
        name: min(share, max(state.target.get(name, 0.0), _nursery_share(state, route, name)))
        for name, share in wanted.items()
        if state.arms[name].held_until_ms > now_ms or (cooling and name != state.champion)
    }
    free = math.fsum(share for name, share in wanted.items() if name not in held)
    if not held:
        return wanted
    if free <= 0:
        return state.target if set(state.target) == set(wanted) else wanted
    scale = (1.0 - math.fsum(held.values())) / free
    return _rounded({name: held.get(name, share * scale) for name, share in wanted.items()})


def _on_probation(state: RouteState, route: Route, wanted: dict[str, float]) -> dict[str, float]:
    """Bound the share of the arm on probation, whatever the largest step."""
    now = state.probation
    if now is None or not {now.arm, now.compared_with} <= set(wanted):
        return wanted
    floor = floor_of(route.settings.floor, len(wanted))
    least = {name: max(floor, _nursery_share(state, route, name)) for name in wanted}
    share = route.settings.guard.probation_share
    return _rounded(on_probation(wanted, now.arm, now.compared_with, share, least))


def _with_holdout(state: RouteState, route: Route, wanted: dict[str, float]) -> dict[str, float]:
    """Give the arm that measures the others its lasting share, unless it is the champion."""
    holdout = route.settings.holdout
    return (
        wanted
        if holdout is None or holdout.arm == state.champion
        else with_share(wanted, holdout.arm, holdout.share)
    )


def with_share(wanted: dict[str, float], name: str, share: float) -> dict[str, float]:
    """Give one arm a share, and the others what is left, in proportion.

    Unchanged where the arm may have no traffic, or nobody else may have any.

    >>> with_share({"a": 0.6, "b": 0.2, "c": 0.2}, "c", 0.5)
    {'a': 0.375, 'b': 0.125, 'c': 0.5}
    """
    others = {arm: weight for arm, weight in wanted.items() if arm != name}
    if name not in wanted or not others:
        return wanted
    total = math.fsum(others.values())
    rest = 1.0 - share
    if total <= 0:
        return _rounded({arm: share if arm == name else rest / len(others) for arm in wanted})
    return _rounded(
        {arm: share if arm == name else weight * rest / total for arm, weight in wanted.items()}
    )


def _nursery_share(state: RouteState, route: Route, name: str) -> float:
    """What an arm in the nursery may have whatever holds it."""
    return route.settings.nursery_share if state.arms[name].phase == "nursery" else 0.0


def _rounded(weights: dict[str, float]) -> dict[str, float]:
    """Round to 1e-9, the rest to the largest: the last bits of numpy differ between processors."""
    rounded = {name: round(share, _WEIGHT_DIGITS) for name, share in weights.items()}
    largest = max(rounded, key=lambda name: (rounded[name], name))
    others = math.fsum(share for name, share in rounded.items() if name != largest)
    rounded[largest] = round(1.0 - others, _WEIGHT_DIGITS)
    return rounded
