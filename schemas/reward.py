"""Topic ``rewards``, keyed by ``route``: what a label said about a prediction."""

from typing import Literal, TypeAlias

from msgspec import Struct

from leverframe.schemas.fields import (
    ArmName,
    EpochMs,
    FiniteNumber,
    Propensity,
    RequestId,
    RouteName,
    SchemaVersion,
    Serial,
    UnitId,
)

__all__ = ["Reward", "RewardCause"]

RewardCause: TypeAlias = Literal["label", "revision", "withdrawal", "expiry"]


class Reward(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One number from a prediction and its label; higher is better.

    Attributes
    ----------
    request_id, route, arm : str
        As in the prediction.
    reward : float or None
        In the unit of the route's reward function; None after a withdrawal.
    previous_reward : float, optional
        What this record replaces, on a revision or withdrawal.
    revision : int
        0, 1, ...: rises with each record of the same request.
    cause : {"label", "revision", "withdrawal", "expiry"}
        Why this record exists.
    propensity, epoch, seq, context
        As in the prediction.
    predicted_at_ms, labelled_at_ms : int
        Ms since the epoch, from the records or their record times.
    attributed_at_ms : int
        Record time of the half that came last: the stream time of this reward.
    counted_at_ms : int, optional
        On a revision or withdrawal: stream time at which this request first counted, so that
        windowed statistics can take the previous reward out of the bucket it went into.
    unit_id : str, optional
        As in the prediction.
    served : bool
        False: of an answer that was computed in shadow and not given. Whoever adds up what was
        served leaves it out; ``propensity`` is then None.
    beside : str, optional
        Of an answer in shadow: the arm whose answer was given, where that is known.
    others : dict of str to float, optional
        Rewards in force of the other arms that answered the same request, by arm, when this record
        was made: each pair of arms meets once, in the later of their two records. A label that
        finds all answers is told of the shadows first, and then of the one that was served.
        None where no other arm has a reward.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    request_id: RequestId
    route: RouteName
    arm: ArmName
    reward: FiniteNumber | None
    previous_reward: FiniteNumber | None = None
    revision: Serial = 0
    cause: RewardCause = "label"
    propensity: Propensity | None = None
    epoch: Serial | None = None
    seq: Serial | None = None
    context: list[float] | None = None
    predicted_at_ms: EpochMs
    labelled_at_ms: EpochMs
    attributed_at_ms: EpochMs
    counted_at_ms: EpochMs | None = None
    unit_id: UnitId | None = None
    served: bool = True
    beside: ArmName | None = None
    others: dict[ArmName, FiniteNumber] | None = None
    schema_version: SchemaVersion = 1
