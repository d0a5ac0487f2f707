"""Causes of progressive delivery: steps of a ramp, and promotions that a person approves."""

from typing import Literal

from msgspec import UNSET, UnsetType

from leverframe.schemas.alarms import Coordinates, Reason
from leverframe.schemas.evidence import ArmEvidence

__all__ = ["ProposalCause", "RampCause"]


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
        in the ``cooldown`` after a rollback or drift, until the ``window`` for changes opens, or
        for the ``approval`` of a person.
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
