"""What was recorded of a route's answers, as rows that off-policy evaluation can weigh; pure.

A reward makes one, and so does each metric of a prediction: both are a value of one answer that was
given, with the propensity of its arm.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from leverframe.policies.evaluation.logged import LoggedRewards
from leverframe.policies.reward_base import to_unit
from leverframe.policies.units import FROM_NANO
from leverframe.schemas.measurements import Measured
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.linear import LARGEST_FEATURE
from leverframe.streams.learning.schedule import Schedule
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import Route

__all__ = ["Recorded", "context_dimension", "lay_out", "of_metric", "of_rewards"]


class Recorded(Struct, frozen=True, kw_only=True):
    """A value of one answer that was given.

    Attributes
    ----------
    served_ms : int
        When, ms since the epoch; of a request whose producer's clock runs ahead, when it was
        rewarded.
    arm : str
        That answered.
    value : float
        In [0, 1]: the reward, or how bad the metric was.
    propensity : float or None
        With which the arm was chosen.
    unit_id : str or None
        Who was assigned.
    context : list of float or None
        Features of the request.
    """

    served_ms: int
    arm: str
    value: float
    propensity: float | None
    unit_id: str | None
    context: list[float] | None = None


def of_rewards(rewards: Iterable[Reward], route: Route) -> list[Recorded]:
    """Return the last word on each request that was served, in serving order.

    One that was withdrawn is left out, and so are answers in shadow: no policy chose them.
    """
    low, high = route.reward_low, route.reward_high
    last = {one.request_id: one for one in rewards if one.served}
    rows = (
        Recorded(
            served_ms=min(one.predicted_at_ms, one.attributed_at_ms),
            arm=one.arm,
            value=to_unit(one.reward, low, high),
            propensity=one.propensity,
            unit_id=one.unit_id,
            context=one.context,
        )
        for one in last.values()
        if one.reward is not None
    )
    return sorted(rows, key=_served_ms)


def of_metric(measured: Iterable[Measured], metric: Metric) -> list[Recorded]:
    """Return what was measured of a metric, mapped to how bad it is, in serving order."""
    rows = (
        Recorded(
            served_ms=one.at_ms,
            arm=one.arm,
            value=metric.badness_nano(one.values[metric.name]) * FROM_NANO,
            propensity=one.propensity,
            unit_id=one.unit_id,
        )
        for one in measured
        if metric.name in one.values
    )
    return sorted(rows, key=_served_ms)


def _served_ms(row: Recorded) -> int:
    return row.served_ms


def context_dimension(rows: Sequence[Recorded]) -> tuple[int, str]:
    """Return the length of every context, or 0 and why there is no such thing."""
    sizes = {0 if row.context is None else len(row.context) for row in rows}
    if 0 in sizes:
        without = sum(not row.context for row in rows)
        return 0, f"{without / len(rows):.1%} of the requests have no context"
    if len(sizes) != 1:
        return 0, f"contexts differ in length: {', '.join(map(str, sorted(sizes)))}"
    return sizes.pop(), ""


def lay_out(
    rows: Sequence[Recorded], schedule: Schedule, *, reassign_ms: int, dimension: int = 0
) -> LoggedRewards:
    """Lay rows out as arrays, beside the weights that were published before each was served.

    Each must have been served after the first weights. ``reassign_ms`` is the period after which
    units are drawn anew, 0 where they are not; ``dimension`` is the length of contexts, 0 to leave
    them out.
    """
    arms = sorted({arm for weights in schedule.weights for arm in weights} | {r.arm for r in rows})
    index = {arm: k for k, arm in enumerate(arms)}
    published = np.zeros((len(schedule.weights), len(arms)))
    for at, weights in enumerate(schedule.weights):
        for arm, share in weights.items():
            published[at, index[arm]] = share
    return LoggedRewards(
        arms=tuple(arms),
        reward=np.array([row.value for row in rows], dtype=np.float64),
        arm=np.array([index[row.arm] for row in rows], dtype=np.int64),
        propensity=np.array([row.propensity or np.nan for row in rows], dtype=np.float64),
        target=published[[schedule.before(row.served_ms) for row in rows]],
        context=(
            np.array([row.context for row in rows]).clip(-LARGEST_FEATURE, LARGEST_FEATURE)
            if dimension
            else None
        ),
        unit=_units(rows, reassign_ms),
    )


def _units(rows: Sequence[Recorded], reassign_ms: int) -> NDArray[np.int64] | None:
    """A number for each unit, and for each period where units are drawn anew in each."""
    if all(row.unit_id is None for row in rows):
        return None
    numbers: dict[tuple[str, int] | int, int] = {}
    return np.array([numbers.setdefault(unit, len(numbers)) for unit in _keys(rows, reassign_ms)])


def _keys(rows: Sequence[Recorded], reassign_ms: int) -> Iterator[tuple[str, int] | int]:
    """Who was assigned: a unit in a period, or a request alone."""
    for at, row in enumerate(rows):
        if row.unit_id is None:
            yield at
        else:
            yield row.unit_id, row.served_ms // reassign_ms if reassign_ms else 0
