"""What a policy would have earned: IPS, SNIPS and doubly robust, each with an interval."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.evaluation.intervals import (
    Units,
    bernstein_half_width,
    steadied_interval,
)
from leverframe.policies.evaluation.logged import LoggedRewards, Weighted, weigh
from leverframe.policies.evaluation.regression import cross_fitted
from leverframe.schemas.errors import PolicyError

__all__ = ["Estimate", "Evaluation", "doubly_robust", "estimate", "ips", "snips"]

Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean reward with its confidence interval.

    Attributes
    ----------
    value : float
        Rewards mapped to [0, 1]; that of IPS can come out above 1.
    low : float
        Lower end of the interval, at least 0.
    high : float
        Upper end, at most 1.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that the logged rewards say of a policy.

    Attributes
    ----------
    requests : int
        Used.
    units : int
        Who were assigned: as many as requests where none names a unit.
    left_out : int
        Without a propensity.
    effective : float
        Effective sample size, in units.
    mean_weight : float
        1 but for chance.
    largest_weight : float
        Of one request.
    logged : Estimate
        What was earned.
    ips : Estimate
        Inverse propensity scoring.
    ips_bernstein : Estimate or None
        The same with a wider interval that does not rest on n being large; None where no bound of
        the weights is known, or a unit has several requests.
    snips : Estimate
        Self-normalised.
    dr : Estimate or None
        Doubly robust; None where not every request has a context.

    Notes
    -----
    All but Bernstein's are the intervals of ``steadied_interval``; SNIPS by the delta method.
    """

    requests: int
    units: int
    left_out: int
    effective: float
    mean_weight: float
    largest_weight: float
    logged: Estimate
    ips: Estimate
    ips_bernstein: Estimate | None
    snips: Estimate
    dr: Estimate | None


def estimate(
    logged: LoggedRewards, *, alpha: float = 0.05, weight_bound: float | None = None
) -> Evaluation:
    """Return what the policy would have earned, or refuse.

    Parameters
    ----------
    logged : LoggedRewards
        n requests in serving order.
    alpha : float
        Chance of each interval to miss, two-sided, in (0, 1).
    weight_bound : float, optional
        Largest weight that was possible, known in advance, as from a floor of the logging policy.
        One that a weight exceeds is not a bound, and is not used.

    Returns
    -------
    Evaluation
        Every estimator at once.

    Raises
    ------
    EvaluationError
        As ``weigh`` does.
    PolicyError
        If ``alpha`` lies outside (0, 1).

    Notes
    -----
    What is estimated: the mean, over the requests served, of the reward that the policy's weights
    for that moment expect. Those weights come from the statistics that were logged. Had the policy
    been in force, it would have gathered other statistics, and from these made other weights; no
    method can know them from this log.
    """
    if not 0 < alpha < 1:
        raise PolicyError(f"alpha must lie in (0, 1), got {alpha}")
    weighted = weigh(logged)
    weight, reward = weighted.weight, weighted.logged.reward
    largest = float(weight.max())
    by_weights = ips(weighted, alpha)
    is_alone = weighted.units.count == len(weight)
    bernstein = None
    if weight_bound is not None and largest <= weight_bound and is_alone:
        bernstein = _around(
            by_weights.value, bernstein_half_width(weight * reward, weight_bound, alpha)
        )
    mean = float(reward.mean())
    return Evaluation(
        requests=len(weight),
        units=weighted.units.count,
        left_out=weighted.left_out,
        effective=weighted.effective,
        mean_weight=float(weight.mean()),
        largest_weight=largest,
        logged=_steadied(mean, reward - mean, np.ones(len(weight)), weighted.units, alpha),
        ips=by_weights,
        ips_bernstein=bernstein,
        snips=snips(weighted, alpha),
        dr=None if logged.context is None else doubly_robust(weighted, alpha),
    )


def ips(weighted: Weighted, alpha: float) -> Estimate:
    """Return the mean of weight times reward.

    Parameters
    ----------
    weighted : Weighted
        n requests.
    alpha : float
        Chance of the interval to miss.

    Returns
    -------
    Estimate
        Without bias if the propensities are true; the widest of the three.

    References
    ----------
    Horvitz and Thompson (1952), JASA 47. Precup, Sutton and Singh (2000), Eligibility traces for
    off-policy policy evaluation, ICML.
    """
    scores = weighted.weight * weighted.logged.reward
    value = float(scores.mean())
    low, high = steadied_interval(
        value, scores - value, weighted.weight, weighted.units, alpha=alpha, is_normalised=False
    )
    return Estimate(value=value, low=low, high=high)


def snips(weighted: Weighted, alpha: float) -> Estimate:
    """Return the weighted mean of the rewards.

    Parameters
    ----------
    weighted : Weighted
        n requests.
    alpha : float
        Chance of the interval to miss.

    Returns
    -------
    Estimate
        Within [0, 1]; a bias of the order 1/n buys a smaller variance, and where all rewards are
        the same, none at all.

    References
    ----------
    Swaminathan and Joachims (2015), The self-normalized estimator for counterfactual learning,
    NIPS. Owen (2013), *Monte Carlo theory, methods and examples*, section 9.2 (delta method).
    """
    weight, reward = weighted.weight, weighted.logged.reward
    relative = weight / weight.mean()
    value = float((relative * reward).mean())
    return _steadied(value, relative * (reward - value), relative, weighted.units, alpha)


def doubly_robust(weighted: Weighted, alpha: float) -> Estimate:
    """Return the policy's mean predicted reward, corrected by the weighted errors of prediction.

    Parameters
    ----------
    weighted : Weighted
        n requests with a context.
    alpha : float
        Chance of the interval to miss.

    Returns
    -------
    Estimate
        Without bias (to the order 1/n where the logging policy learnt on the way) if either the
        propensities or the predictions are true; narrower the better the predictions are.

    References
    ----------
    Dudik, Langford and Li (2011), Doubly robust policy evaluation and learning, ICML, section 2.
    Chernozhukov et al. (2018), Double/debiased machine learning, section 3 (cross-fitting).
    """
    logged = weighted.logged
    expected = cross_fitted(logged)
    answered = expected[np.arange(len(logged.arm)), logged.arm]
    scores = (logged.target * expected).sum(axis=1) + weighted.weight * (logged.reward - answered)
    value = float(scores.mean())
    return _steadied(value, scores - value, weighted.weight, weighted.units, alpha)


def _steadied(
    value: float, deviation: Float64, weight: Float64, units: Units, alpha: float
) -> Estimate:
    low, high = steadied_interval(value, deviation, weight, units, alpha=alpha)
    return Estimate(value=value, low=low, high=high)


def _around(value: float, half_width: float) -> Estimate:
    """An interval within [0, 1], where every mean reward lies."""
    low = min(1.0, max(0.0, value - half_width)) if math.isfinite(half_width) else 0.0
    high = min(1.0, max(0.0, value + half_width)) if math.isfinite(half_width) else 1.0
    return Estimate(value=value, low=low, high=high)
