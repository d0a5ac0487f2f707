"""Why a control message was published: one struct for each reason, told apart by ``why``.

On the wire a cause is an object whose ``why`` names the reason, so that a reader of an older
version can pass on what it does not know. ``cause_of`` reads it, ``wire_form`` writes it.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from leverframe.schemas.alarms import (
    ALARMS,
    Alarm,
    Coordinates,
    ExplorationCollapse,
    LabelOutage,
    NoGoodArm,
    PartitionerMismatch,
    Reason,
    RollbackNotEffective,
    Version,
    WeightsNotFollowed,
)
from leverframe.schemas.delivery import BudgetCause, MetricCause, ProposalCause, RampCause
from leverframe.schemas.evidence import ArmEvidence

__all__ = [
    "ALARMS",
    "Alarm",
    "BetterCause",
    "BudgetCause",
    "Cause",
    "CommandCause",
    "Coordinates",
    "DriftCause",
    "ExplorationCollapse",
    "GuardCause",
    "HeartbeatCause",
    "LabelOutage",
    "MetricCause",
    "NoGoodArm",
    "PartitionerMismatch",
    "PolicyCause",
    "ProbationCause",
    "ProposalCause",
    "RampCause",
    "RegisteredCause",
    "RollbackNotEffective",
    "UnknownCause",
    "Version",
    "WeightsNotFollowed",
    "cause_of",
    "wire_form",
]


class GuardCause(Reason, frozen=True, kw_only=True, tag="guard"):
    """An arm was rolled back since it is harmful.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after the rollback.
    arm : str
        That was rolled back.
    verdict : str
        ``harmful``.
    test : {"champion", "floor"}
        What it was held against.
    labels, mean
        Of the arm, since evidence against it gathered; the mean is mapped to [0, 1].
    compared_with, reference_labels, reference_mean, margin
        The arm held against it meanwhile, and how much worse is tolerable (``test`` champion).
    pairs, pair_difference
        Requests that both answered, since they are compared, and by how much the arm was better on
        them, on average.
    reward_floor, floor_margin
        The least tolerable mean (``test`` floor).
    alpha : float
        Of the route.
    log_evidence, log_threshold : float
        Nats.
    traffic_to : str
        The arm that took over.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    verdict: str
    test: Literal["champion", "floor"]
    labels: int
    mean: float | None
    compared_with: str | UnsetType = UNSET
    reference_labels: int | UnsetType = UNSET
    reference_mean: float | UnsetType | None = UNSET
    margin: float | UnsetType = UNSET
    pairs: int | UnsetType = UNSET
    pair_difference: float | UnsetType = UNSET
    reward_floor: float | UnsetType = UNSET
    floor_margin: float | UnsetType = UNSET
    alpha: float
    log_evidence: float
    log_threshold: float
    traffic_to: str
    record: Coordinates | UnsetType = UNSET


class BetterCause(Reason, frozen=True, kw_only=True, tag="better"):
    """A challenger became champion since it is better.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after the promotion.
    arm : str
        The new champion.
    labels, mean, compared_with, reference_labels, reference_mean
        Of both arms' lives, requests that both answered left out; means are mapped to [0, 1].
    pairs, pair_difference
        Requests that both answered, and by how much the arm was better on them, on average.
    alpha, log_evidence, log_threshold : float
        Of the test; nats.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    labels: int
    mean: float | None
    compared_with: str
    reference_labels: int
    reference_mean: float | None
    pairs: int | UnsetType = UNSET
    pair_difference: float | UnsetType = UNSET
    alpha: float
    log_evidence: float
    log_threshold: float
    record: Coordinates | UnsetType = UNSET


class ProbationCause(Reason, frozen=True, kw_only=True, tag="probation"):
    """A suspected arm was put on probation, or released from it.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms after that.
    arm : str
        The suspect.
    step : {"begun", "ended"}
        Which of the two.
    how : str
        Begun: ``fallen`` below its own past, or ``against``: the guard's evidence is 5 to 1. Ended:
        ``faded``, its labels are as before; ``shared``, its reference fell as well; ``too_long``;
        ``overruled`` by a person; ``moved``, it is held against another arm now.
    share : float
        The most that it may have on probation.
    labels, mean
        Of the arm, since it can have fallen (begun) or was suspected (ended), the mean mapped to
        [0, 1].
    mean_before : float or None
        Of its past.
    compared_with : str
        Its reference, which gets labels first.
    log_evidence : float
        Nats by which the guard's bets speak against the arm.
    log_fall : float
        Nats for a fall below its own past.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    arm: str
    step: Literal["begun", "ended"]
    how: str
    share: float
    labels: int
    mean: float | None
    mean_before: float | None
    compared_with: str
    log_evidence: float
    log_fall: float
    record: Coordinates | UnsetType = UNSET


class PolicyCause(Reason, frozen=True, kw_only=True, tag="policy"):
    """The policy moved weights on the labels counted so far.

    Attributes
    ----------
    arms : dict of str to ArmEvidence
        All arms.
    record : Coordinates
        The deciding reward.
    """

    arms: dict[str, ArmEvidence] | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class DriftCause(Reason, frozen=True, kw_only=True, tag="drift"):
    """A detector saw an arm's rewards change.

    Attributes
    ----------
    arm : str
        Watched against its own past.
    detectors : list of str
        That saw it.
    action : {"note", "hold", "rollback"}
        What the settings say about it.
    mean_before, mean_after : float
        Reward mapped to [0, 1].
    traffic_to : str, optional
        The arm that took over, where it was rolled back.
    record : Coordinates
        The deciding reward.
    """

    arm: str
    detectors: list[str]
    action: Literal["note", "hold", "rollback"]
    mean_before: float
    mean_after: float
    traffic_to: str | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class RegisteredCause(Reason, frozen=True, kw_only=True, tag="registered"):
    """An arm was registered by its first reward.

    Attributes
    ----------
    arm : str
        The new one.
    how : str
        ``first_reward``.
    record : Coordinates
        That reward.
    """

    arm: str
    how: str
    record: Coordinates | UnsetType = UNSET


class CommandCause(Reason, frozen=True, kw_only=True, tag="command"):
    """A person, or a deployment pipeline, asked for it.

    Attributes
    ----------
    command_id, action, actor
        As in the command.
    arm : str, optional
        The arm meant, where the action has one.
    do : str, optional
        What a ``ramp`` command did: ``begin``, ``pause``, ``resume``, ``skip`` or ``abort``.
    replicas : list of str, optional
        Serving replicas heard lately, whose acknowledgements may be waited for.
    proposal : dict, optional
        What an ``approve`` or ``reject`` answers: ``arm``, ``since_ms``, ``until_ms``,
        ``log_evidence``.
    record : Coordinates
        The command.
    """

    command_id: str
    action: str
    actor: str
    arm: str | UnsetType = UNSET
    do: str | UnsetType = UNSET
    replicas: list[str] | UnsetType = UNSET
    proposal: dict[str, Any] | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class HeartbeatCause(Reason, frozen=True, kw_only=True, tag="heartbeat"):
    """Somebody watches: what is in force, said again with the evidence as it stands now.

    Attributes
    ----------
    last_change : dict
        The cause of the newest routing change, as on the wire; empty before there is one.
    arms : dict of str to ArmEvidence
        All arms but retired ones.
    last_known_good : list of dict, optional
        Former champions to which traffic can return, newest first.
    joins : dict, optional
        How the join of the route fares.
    shadow : dict of str to dict of str to float, optional
        Weights that each shadow policy would give, by its name.
    pinned : str, optional
        The arm to which a person pinned all traffic.
    frozen : bool, optional
        True where a person froze the weights.
    probation : dict, optional
        The arm on probation: ``arm``, ``compared_with``, ``since_ms``, ``share``.
    following : dict, optional
        Replicas, those behind, what was served, alarms in force.
    ramp : dict, optional
        The ramp under way: ``arm``, ``steps`` (percentages), ``at``, ``share``, ``since_ms``,
        ``dwell_ms``, ``labels``, ``min_labels``, ``gate``, ``waits_for``, ``paused``.
    proposal : dict, optional
        The promotion that waits for a person: ``arm``, ``since_ms``, ``until_ms``,
        ``log_evidence``.
    """

    last_change: dict[str, Any]
    arms: dict[str, ArmEvidence]
    last_known_good: list[dict[str, Any]] | UnsetType = UNSET
    joins: dict[str, Any] | UnsetType = UNSET
    shadow: dict[str, dict[str, float]] | UnsetType = UNSET
    pinned: str | UnsetType = UNSET
    frozen: bool | UnsetType = UNSET
    following: dict[str, Any] | UnsetType = UNSET
    probation: dict[str, Any] | UnsetType = UNSET
    ramp: dict[str, Any] | UnsetType = UNSET
    proposal: dict[str, Any] | UnsetType = UNSET


class UnknownCause(Struct, frozen=True):
    """A reason that this version does not know, or that lacks a field it needs.

    Attributes
    ----------
    why : str
        Its name; empty where there is none.
    fields : dict
        All of them, as they came.
    """

    why: str
    fields: dict[str, Any]


Known: TypeAlias = (
    GuardCause
    | BetterCause
    | PolicyCause
    | ProbationCause
    | RampCause
    | ProposalCause
    | MetricCause
    | BudgetCause
    | DriftCause
    | RegisteredCause
    | CommandCause
    | Alarm
    | HeartbeatCause
)
Cause: TypeAlias = Known | UnknownCause


def cause_of(fields: Mapping[str, Any]) -> Cause:
    """Read a cause.

    Parameters
    ----------
    fields : mapping
        As in ``ControlMessage.cause``.

    Returns
    -------
    Cause
        ``UnknownCause`` for a reason of a newer version, or one without the fields it needs.

    Examples
    --------
    >>> cause_of({"why": "registered", "arm": "b", "how": "first_reward"}).arm
    'b'
    >>> cause_of({"why": "eclipse", "until_ms": 5})
    UnknownCause(why='eclipse', fields={'why': 'eclipse', 'until_ms': 5})
    """
    try:
        known: Cause = msgspec.convert(fields, Known)
    except msgspec.ValidationError:
        return UnknownCause(str(fields.get("why", "")), dict(fields))
    return known


def wire_form(cause: Known) -> dict[str, Any]:
    """Return a cause as it is in a control message.

    Parameters
    ----------
    cause : Cause
        Of this version.

    Returns
    -------
    dict
        ``why`` first, then its fields in the order of the struct.

    Examples
    --------
    >>> wire_form(RegisteredCause(arm="b", how="first_reward"))
    {'why': 'registered', 'arm': 'b', 'how': 'first_reward'}
    """
    fields: dict[str, Any] = msgspec.to_builtins(cause)
    return fields
