"""What all causes share, and those of alarms: what a person should see to; no weight moves.

See ``schemas.causes`` for the other reasons that a control message can have.
"""

from typing import Final, TypeAlias

from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "ALARMS",
    "Alarm",
    "Coordinates",
    "ExplorationCollapse",
    "LabelOutage",
    "NoGoodArm",
    "PartitionerMismatch",
    "Reason",
    "RollbackNotEffective",
    "Version",
    "WeightsNotFollowed",
]


class Coordinates(Struct, frozen=True, omit_defaults=True):
    """Where the record lies that decided.

    Attributes
    ----------
    partition, offset : int
        Of ``rewards``, ``commands`` or ``traffic``, whichever the cause belongs to.
    burst : bool
        Whether it was decided once a burst of labels was over: this is the last of them, and no
        other was counted yet.
    """

    partition: int
    offset: int
    burst: bool = False


class Version(Struct, frozen=True):
    """A control message, by its place in the order of the route's messages.

    Attributes
    ----------
    epoch, seq : int
        As in the message.
    """

    epoch: int
    seq: int


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="why"):
    """What all causes share: the tag."""


class RollbackNotEffective(Reason, frozen=True, kw_only=True, tag="rollback_not_effective"):
    """An arm without weight is still served after the grace time.

    Attributes
    ----------
    arm : str
        That still answers.
    served_after_grace : int
        Predictions.
    grace_s : float
        Seconds, of the settings.
    since : Version
        The message that took it off.
    replicas_behind : list of str
        Replicas that have not acknowledged that message.
    served_by : dict of str to int, optional
        Whose predictions they are, where predictions name their replica.
    record : Coordinates
        The traffic that shows it.
    """

    arm: str
    served_after_grace: int
    grace_s: float
    since: Version
    replicas_behind: list[str]
    served_by: dict[str, int] | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class WeightsNotFollowed(Reason, frozen=True, kw_only=True, tag="weights_not_followed"):
    """An arm's share of predictions differs from its weight by more than chance.

    Attributes
    ----------
    arm : str
        Whose share is least likely.
    weight : float
        As published.
    served, served_of : int
        Predictions of the arm, and of all arms, in the portion that tipped the scale.
    log_evidence, log_threshold : float
        Nats.
    replica : str, optional
        That does not follow, where predictions name theirs; the numbers are then its own.
    record : Coordinates
        The traffic that shows it.
    """

    arm: str
    weight: float
    served: int
    served_of: int
    log_evidence: float
    log_threshold: float
    replica: str | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET


class PartitionerMismatch(Reason, frozen=True, kw_only=True, tag="suspected_partitioner_mismatch"):
    """Predictions and labels both stay alone: they lie in different partitions.

    Attributes
    ----------
    orphan_predictions, orphan_labels : int
        That never met their other half.
    orphan_share : float
        Of the predictions.
    orphan_label_share : float, optional
        Of the labels; on routes with a default reward, whose predictions may well stay alone.
    cure : str
        What to run.
    record : Coordinates
        The traffic that shows it.
    """

    orphan_predictions: int
    orphan_labels: int
    orphan_share: float
    orphan_label_share: float | UnsetType = UNSET
    cure: str
    record: Coordinates | UnsetType = UNSET


class NoGoodArm(Reason, frozen=True, kw_only=True, tag="no_good_arm"):
    """Every arm that may receive traffic is harmful; the least bad one keeps it.

    Attributes
    ----------
    arm : str
        The least bad one.
    arms : int
        Arms that may receive traffic.
    metric : str, optional
        The guardrail that it was proved to hurt; left out where its labels prove it harmful.
    log_evidence, log_threshold : float
        Nats, against the least bad one.
    record : Coordinates
        The deciding reward.
    """

    arm: str
    arms: int
    metric: str | UnsetType = UNSET
    log_evidence: float
    log_threshold: float
    record: Coordinates | UnsetType = UNSET


class ExplorationCollapse(Reason, frozen=True, kw_only=True, tag="exploration_collapse"):
    """Only one of several arms gets labels any more: nothing could be found out about the others.

    Attributes
    ----------
    arm : str
        That still gets labels.
    arms : int
        Arms that may receive traffic.
    labels : int
        Of that arm, since another one had its last.
    silent_s : float
        Since then, seconds of stream time.
    record : Coordinates
        The reward that shows it.
    """

    arm: str
    arms: int
    labels: int
    silent_s: float
    record: Coordinates | UnsetType = UNSET


class LabelOutage(Reason, frozen=True, kw_only=True, tag="label_outage"):
    """Predictions come, and labels do not any more: the guard sees nothing.

    Attributes
    ----------
    predictions : int
        Since the last label.
    silent_s : float
        Since then, seconds of stream time.
    usual_s : float
        The time that 99 of 100 labels took so far, seconds.
    record : Coordinates
        The traffic that shows it.
    """

    predictions: int
    silent_s: float
    usual_s: float
    record: Coordinates | UnsetType = UNSET


Alarm: TypeAlias = (
    RollbackNotEffective
    | WeightsNotFollowed
    | PartitionerMismatch
    | NoGoodArm
    | ExplorationCollapse
    | LabelOutage
)
ALARMS: Final = frozenset(
    {
        "rollback_not_effective",
        "weights_not_followed",
        "suspected_partitioner_mismatch",
        "no_good_arm",
        "exploration_collapse",
        "label_outage",
    }
)
"""``why`` of the causes that are alarms."""
