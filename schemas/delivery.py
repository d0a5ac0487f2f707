"""Causes of progressive delivery: steps of a ramp, approvals, metrics and budgets."""

from typing import Literal

from msgspec import UNSET, UnsetType

from leverframe.schemas.alarms import Coordinates, Reason
from leverframe.schemas.evidence import ArmEvidence

__all__ = ["BudgetCause", "MetricCause", "ProposalCause", "RampCause"]


class RampCause(Reason, frozen=True, kw_only=True, tag="ramp"):
    """An arm's share grew by a step of its ramp, waits, or the ramp is over.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after that.
    arm : str
        Whose share grows.
    step : {"moved", "waiting", "aborted", "done"}
        What happened.
    how : str
        Moved and done: by its ``gate``, or at its ``limit``. Waiting and aborted: for want of
        ``labels``, by the verdict (``inconclusive``, ``no_data``, ``harmful``), on ``probation``,
        in the ``cooldown`` after a rollback or drift, for a ``metric`` that looks worse, until the
        ``window`` for changes opens, or for the ``approval`` of a person.
    share : float
        Of the traffic from now on.
    at, of : int
        Number of the step, from 1, and how many there are.
    labels, min_labels : int
        Of the arm in the step that ends or waits, and how many it takes.
    verdict : str
        The guard's.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    step: Literal["moved", "waiting", "aborted", "done"]
    how: str
    share: float
    at: int
    of: int
    labels: int
    min_labels: int
    verdict: str
    record: Coordinates | UnsetType = UNSET


class ProposalCause(Reason, frozen=True, kw_only=True, tag="proposal"):
    """A promotion is proved and waits for a person, or nobody answered in time.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms.
    arm : str
        Who would be champion.
    step : {"proposed", "lapsed"}
        Which of the two.
    until_ms : int
        Stream time at which the proposal lapses, ms since the epoch.
    labels, mean, compared_with, reference_labels, reference_mean, pairs, pair_difference
        As for ``better``, where it was proposed.
    log_evidence, log_threshold : float
        Nats.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    step: Literal["proposed", "lapsed"]
    until_ms: int
    labels: int | UnsetType = UNSET
    mean: float | UnsetType | None = UNSET
    compared_with: str | UnsetType = UNSET
    reference_labels: int | UnsetType = UNSET
    reference_mean: float | UnsetType | None = UNSET
    pairs: int | UnsetType = UNSET
    pair_difference: float | UnsetType = UNSET
    log_evidence: float
    log_threshold: float | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class MetricCause(Reason, frozen=True, kw_only=True, tag="metric"):
    """An arm was rolled back by a guardrail: what its predictions measured is worse than tolerable.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after the rollback.
    arm : str
        That was rolled back.
    metric : str
        By which.
    test : {"reference", "bound"}
        What it was held against.
    requests : int
        Of the arm, since evidence against it gathered.
    mean : float or None, optional
        Of the metric on them, in its own unit.
    share : float or None, optional
        Where a quantile is looked at: the share of them beyond the threshold, or the bound.
    quantile : float, optional
        Which.
    compared_with, reference_requests, reference_mean, reference_share, margin
        The arm held against it meanwhile, and how much worse is tolerable; its share is that beyond
        its own quantile.
    threshold : float, optional
        Its quantile and the margin: what the arm's requests are held to (``test`` reference).
    bound : float, optional
        What the settings allow (``test`` bound).
    alpha : float
        Of the route.
    log_evidence, log_threshold : float
        Nats.
    traffic_to : str
        The arm that took over.
    record : Coordinates
        The deciding record of measurements, on ``rewards``.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    metric: str
    test: Literal["reference", "bound"]
    requests: int
    mean: float | UnsetType | None = UNSET
    share: float | UnsetType | None = UNSET
    quantile: float | UnsetType = UNSET
    compared_with: str | UnsetType = UNSET
    reference_requests: int | UnsetType = UNSET
    reference_mean: float | UnsetType | None = UNSET
    reference_share: float | UnsetType | None = UNSET
    margin: float | UnsetType = UNSET
    threshold: float | UnsetType = UNSET
    bound: float | UnsetType | None = UNSET
    alpha: float
    log_evidence: float
    log_threshold: float
    traffic_to: str
    record: Coordinates | UnsetType = UNSET


class BudgetCause(Reason, frozen=True, kw_only=True, tag="budget"):
    """Weights moved towards cheaper arms, since they were beyond the route's budget.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after that.
    metric : str
        Of the budget.
    mean : float
        Of a request by the weights as they were, in the metric's unit.
    bound : float
        What the settings allow.
    record : Coordinates
        The deciding record of measurements, on ``rewards``.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    metric: str
    mean: float
    bound: float
    record: Coordinates | UnsetType = UNSET
