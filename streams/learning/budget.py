"""A budget as a hard bound of the weights: what a request may have on average, over all arms.

The weights that the policy and all limits want are tilted towards cheaper arms, by as little as is
enough: of all weights within the budget these are the closest ones (in relative entropy).
"""

import math
from collections.abc import Mapping
from typing import Final

from leverframe.policies.units import NANO
from leverframe.schemas.causes import BudgetCause
from leverframe.streams.learning.change import Change
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import Route

__all__ = ["propose_budget", "tilted", "within_budget"]

_DIGITS: Final = 6
_HALVINGS: Final = 60
_STEEPEST: Final = 1e6  # beyond, all but the cheapest arm has nothing that could be published
_SLACK: Final = 0.002  # of the range: means move with each request, and weights need not


def tilted(
    wanted: Mapping[str, float], costs: Mapping[str, float], most: float
) -> dict[str, float]:
    """Return the closest weights whose mean cost is at most a bound.

    Where no weights are within it, nearly all goes to the cheapest arm that has any traffic; one
    that has none gets none.

    >>> shares = tilted({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 3.0}, 1.5)
    >>> {arm: round(share, 3) for arm, share in shares.items()}
    {'a': 0.75, 'b': 0.25}
    >>> tilted({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 3.0}, 2.0)
    {'a': 0.5, 'b': 0.5}
    """
    if _mean(wanted, costs) <= most:
        return dict(wanted)
    low, high = 0.0, _STEEPEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _mean(_leaning(wanted, costs, middle), costs) > most:
            low = middle
        else:
            high = middle
    return _leaning(wanted, costs, high)


def _mean(weights: Mapping[str, float], costs: Mapping[str, float]) -> float:
    return math.fsum(share * costs[arm] for arm, share in weights.items())


def _leaning(
    wanted: Mapping[str, float], costs: Mapping[str, float], by: float
) -> dict[str, float]:
    least = min(costs[arm] for arm, share in wanted.items() if share > 0)
    shares = {
        arm: share * math.exp(by * (least - costs[arm])) if share > 0 else 0.0
        for arm, share in wanted.items()
    }
    total = math.fsum(shares.values())
    return {arm: share / total for arm, share in shares.items()}


def _budget_of(route: Route) -> Metric | None:
    return next((one for one in route.metrics if one.is_budget), None)


def _costs(state: RouteState, metric: Metric, arms: Mapping[str, float]) -> dict[str, float]:
    """Mean badness by arm; one of which nothing is known is taken to be at the bound."""
    known = {} if state.measured is None else state.measured.arms
    costs = {}
    for arm in arms:
        sums = known.get(arm, {}).get(metric.name)
        is_known = sums is not None and sums.count > 0
        costs[arm] = sums.total / NANO / sums.count if is_known and sums else _most(metric)
    return costs


def _most(metric: Metric) -> float:
    return (metric.bound_nano or 0) / NANO


def within_budget(state: RouteState, route: Route, wanted: dict[str, float]) -> dict[str, float]:
    """Return weights within the route's budget; the same where it has none, or they are."""
    metric = _budget_of(route)
    if metric is None:
        return wanted
    return tilted(wanted, _costs(state, metric, wanted), _most(metric))


def propose_budget(state: RouteState, route: Route) -> Change | None:
    """Propose to weigh anew where the weights in force are beyond the budget, and can be moved."""
    metric = _budget_of(route)
    if metric is None or state.pinned or state.frozen or not state.weights:
        return None
    costs = _costs(state, metric, state.weights)
    mean = _mean(state.weights, costs)
    served = [arm for arm, share in state.weights.items() if share > 0]
    cheapest = min(served, key=lambda arm: (costs[arm], arm))
    least = route.settings.min_publish_change
    if mean <= _most(metric) + _SLACK or state.weights[cheapest] >= 1 - least:
        return None
    cause = BudgetCause(
        metric=metric.name,
        mean=round(metric.value_of(mean), _DIGITS),
        bound=round(metric.value_of(_most(metric)), _DIGITS),
    )
    return Change(kind="routing", cause=cause, reweighs=True, least_step=least)
