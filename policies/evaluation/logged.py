"""Logged rewards as arrays, and whether they can answer for a policy at all."""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.evaluation.intervals import Units
from leverframe.schemas.errors import PolicyError

__all__ = [
    "LEAST_EFFECTIVE",
    "MOST_MISSING",
    "SMALLEST_PROPENSITY",
    "EvaluationError",
    "LoggedRewards",
    "MissingPropensityError",
    "SupportError",
    "Weighted",
    "weigh",
]

Float64: TypeAlias = NDArray[np.float64]

LEAST_EFFECTIVE: Final = 30.0
MOST_MISSING: Final = 0.01
_MOST_DEVIATIONS: Final = 5.0
SMALLEST_PROPENSITY: Final = 1e-6
"""Smaller ones count as this, as in an arm's statistics: no weight must outgrow all numbers."""


class EvaluationError(PolicyError):
    """The logged rewards cannot answer what the policy would have earned.

    Nothing is estimated, since any number would be wrong in an unknown direction. The operator
    reads in the message what is missing, and logs it from now on.
    """

    exit_code: ClassVar[int] = 1


class MissingPropensityError(EvaluationError):
    """Too many rewards carry no propensity, so nobody knows how likely their arm was chosen.

    Nothing is estimated. The operator lets the serving systems send ``propensity`` with each
    prediction, as the assigner returns it, and evaluates what is logged from then on.
    """


class SupportError(EvaluationError):
    """The policy would have chosen what was hardly ever tried.

    Nothing is estimated. The operator raises the route's ``floor`` so that every arm is tried,
    waits for more rewards, or evaluates a policy that is nearer to the one in force.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRewards:
    """What was logged, and what a policy would have done; n requests in serving order.

    Attributes
    ----------
    arms : tuple of str
        Names of the K arms.
    reward : NDArray[np.float64]
        Shape (n,): mapped to [0, 1].
    arm : NDArray[np.int64]
        Shape (n,): index of the arm that answered.
    propensity : NDArray[np.float64]
        Shape (n,): with which it was chosen, in (0, 1]; NaN where it was not logged.
    target : NDArray[np.float64]
        Shape (n, K): the propensities of the policy in question. Row t may depend on what was known
        before request t was served, and on nothing later.
    context : NDArray[np.float64] or None
        Shape (n, d): features of the requests; None where not every request has them.
    unit : NDArray[np.int64] or None
        Shape (n,): the same number for requests of one unit (a user, a session), each at least 0;
        None where every request is a unit of its own.
    """

    arms: tuple[str, ...]
    reward: Float64
    arm: NDArray[np.int64]
    propensity: Float64
    target: Float64
    context: Float64 | None = None
    unit: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """Logged rewards that can be used, with their importance weights.

    Attributes
    ----------
    logged : LoggedRewards
        Those with a propensity.
    weight : NDArray[np.float64]
        Shape (n,): target propensity of the arm that answered / its logged propensity; 1 on average
        where the policy only chooses what was tried.
    left_out : int
        Requests left out for want of a propensity.
    units : Units
        Of those requests.
    """

    logged: LoggedRewards
    weight: Float64
    left_out: int
    units: Units

    @property
    def effective(self) -> float:
        """Effective sample size: as many units of equal weight would tell as much.

        That of the weights as they came, or as they had to be expected from how active each unit
        is, whichever is less: where heavy users happen to have no weight, little is known of them.
        """
        weight, active = self.weight, self.units.sums(np.ones(len(self.weight)))
        expected = _effective(active) * _effective(weight) / len(weight)
        return min(_effective(self.units.sums(weight)), expected)


def _effective(weights: Float64) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())


def weigh(logged: LoggedRewards) -> Weighted:
    """Return importance weights, or say why none can be given.

    Parameters
    ----------
    logged : LoggedRewards
        n requests.

    Returns
    -------
    Weighted
        Of the requests that have a propensity.

    Raises
    ------
    EvaluationError
        If there is no request at all.
    MissingPropensityError
        If more than 1 % of the requests lack a propensity. Fewer are left out and counted: were
        they all unlike the others, that would shift the answer by 0.01 at most.
    SupportError
        If more than 1 % of the policy's weight lies on arms that were never logged; if the weights'
        average is further from 1 than 0.01 and 5 standard errors (arms out of service while the
        policy wants them, or propensities that are not the true ones); or if the effective sample
        size is below 30.

    Notes
    -----
    The average of the weights is 1 in expectation, whatever the rewards, so that check needs no
    rewards. It raises a false alarm for fewer than one in a thousand sound logs.

    Examples
    --------
    >>> half = np.full(60, 0.5)
    >>> logged = LoggedRewards(
    ...     arms=("a", "b"),
    ...     reward=np.tile([0.0, 1.0], 30),
    ...     arm=np.tile([0, 1], 30),
    ...     propensity=half,
    ...     target=np.stack([half, half], axis=1),
    ... )
    >>> weigh(logged).effective
    60.0
    """
    n = len(logged.reward)
    if not n:
        raise EvaluationError(
            "no reward was logged of requests served after the policy's first weights; evaluate "
            "again once later labels are in: `leverframe status` shows whether they come"
        )
    known = ~np.isnan(logged.propensity)
    missing = n - int(known.sum())
    if missing > MOST_MISSING * n:
        raise MissingPropensityError(
            f"{missing / n:.1%} of {n:,} rewards have no propensity, at most {MOST_MISSING:.0%} "
            "may lack it; send `propensity` with each prediction, as the assigner returns it, and "
            "evaluate what is logged from then on"
        )
    usable = logged if not missing else _rows(logged, known)
    propensity = np.maximum(usable.propensity, SMALLEST_PROPENSITY)
    weight = usable.target[np.arange(len(usable.arm)), usable.arm] / propensity
    units = _units(usable)
    _check_arms(usable, weight)
    weighted = Weighted(logged=usable, weight=weight, left_out=missing, units=units)
    if not weighted.effective >= LEAST_EFFECTIVE:
        raise SupportError(_too_few(weighted))
    _check_average(weight, units)
    return weighted


def _rows(logged: LoggedRewards, chosen: NDArray[np.bool_]) -> LoggedRewards:
    return LoggedRewards(
        arms=logged.arms,
        reward=logged.reward[chosen],
        arm=logged.arm[chosen],
        propensity=logged.propensity[chosen],
        target=logged.target[chosen],
        context=None if logged.context is None else logged.context[chosen],
        unit=None if logged.unit is None else logged.unit[chosen],
    )


def _too_few(weighted: Weighted) -> str:
    n, worth = len(weighted.weight), weighted.effective
    more = f"some {LEAST_EFFECTIVE / worth:.1f} times as many" if worth > 0 else "more"
    active = weighted.units.sums(np.ones(n))
    if weighted.units.count < n:
        return (
            f"{n:,} rewards of {weighted.units.count:,} units are worth {worth:.1f} units for this "
            f"policy, at least {LEAST_EFFECTIVE:.0f} are needed: one unit alone has "
            f"{active.max() / n:.0%} of the requests; wait for {more} units, or let units be drawn "
            "anew with the route's `reassign_units`"
        )
    return (
        f"{n:,} rewards are worth {worth:.1f} for this policy, at least {LEAST_EFFECTIVE:.0f} are "
        f"needed: its choices were rarely tried, and the largest weight is "
        f"{weighted.weight.max():.3g}; wait for {more} rewards, raise the route's `floor`, or ask "
        "for a policy that is nearer to the one in force"
    )


def _units(logged: LoggedRewards) -> Units:
    n = len(logged.reward)
    if logged.unit is None:
        return Units(of_request=np.arange(n), count=n)
    known, of_request = np.unique(logged.unit, return_inverse=True)
    return Units(of_request=of_request, count=len(known))


def _check_arms(logged: LoggedRewards, weight: Float64) -> None:
    wanted = logged.target.mean(axis=0)
    wanted[np.unique(logged.arm)] = 0.0
    if wanted.sum() > MOST_MISSING:
        names = ", ".join(logged.arms[k] for k in np.flatnonzero(wanted > 0))
        raise SupportError(
            f"the policy gives {wanted.sum():.1%} of its weight to arms without logged rewards: "
            f"{names}; let them have traffic (the route's `floor` gives it to every arm), and "
            "evaluate again"
        )
    if not weight.any():
        raise SupportError(
            "the policy would have chosen none of the arms that answered; ask for one that gives "
            "them weight, or let its arms have traffic"
        )


def _check_average(weight: Float64, units: Units) -> None:
    average, n = float(weight.mean()), len(weight)
    error = float((units.sums(weight - average) ** 2).sum()) ** 0.5 / n
    if abs(average - 1.0) > MOST_MISSING + _MOST_DEVIATIONS * error:
        raise SupportError(
            f"the weights average {average:.3f} (standard error {error:.3f}) and not 1: the policy "
            "wants arms at times when they were not served, or the logged propensities are not "
            "those with which arms were chosen; send with each prediction what the assigner "
            "returned, keep every arm's `floor`, and evaluate what is logged from then on"
        )
