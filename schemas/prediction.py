"""Topic ``predictions``, keyed by ``request_id``: an answer to a request, served or in shadow."""

from typing import Annotated

from msgspec import Meta, Struct

from leverframe.schemas.fields import (
    ArmName,
    EpochMs,
    Identifier,
    Metrics,
    PredictedValue,
    Propensity,
    RequestId,
    RouteName,
    SchemaVersion,
    Serial,
    SessionId,
    UnitId,
)

__all__ = ["Prediction"]


class Prediction(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Which arm answered a request, with what, and at which propensity.

    Several arms may answer one request; the answer of one of them is served, the others are
    computed beside it, in shadow.

    Attributes
    ----------
    request_id : str
        1 to 128 characters; must equal the record's key, where it names no session.
    route : str
        The place where the model was chosen.
    arm : str
        The model version that answered.
    prediction : bool, int, float, str or dict of str to float
        The answer; a mapping is class to probability.
    propensity : float, optional
        Probability in (0, 1] with which the arm was chosen.
    epoch, seq : int, optional
        Of the control message in force when the arm was chosen.
    context : list of float, optional
        Features for contextual policies.
    predicted_at_ms : int, optional
        Ms since the epoch; the record's time when left out.
    shown : bool
        False: the answer was not used. Counted, never rewarded.
    unit_id : str, optional
        Who was assigned, 1 to 128 characters: the id that was given to the assigner, where it is a
        user or a session with several requests. The request itself when left out.
    served : bool
        False: computed in shadow, beside the answer that was given. Its rewards are marked.
    metrics : dict of str to float, optional
        What was measured of the answer, up to 16 values by name: latency, cost, whether it failed.
        The route says what each is for.
    replica : str, optional
        Who answered, by the name with which it acknowledges control messages: the job then says
        which replica does not follow.
    session_id : str, optional
        The conversation that the request is a turn of: a label of the session is shared among its
        turns. It is then the record's key, and must differ from the request_id.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    request_id: RequestId
    route: RouteName
    arm: ArmName
    prediction: PredictedValue
    propensity: Propensity | None = None
    epoch: Serial | None = None
    seq: Serial | None = None
    context: Annotated[list[float], Meta(max_length=4096)] | None = None
    predicted_at_ms: EpochMs | None = None
    shown: bool = True
    unit_id: UnitId | None = None
    served: bool = True
    metrics: Metrics | None = None
    replica: Identifier | None = None
    session_id: SessionId | None = None
    schema_version: SchemaVersion = 1
