"""Topic ``ground-truth``, keyed by ``request_id``: the true outcome, later."""

from typing import Annotated

from msgspec import Meta, Struct

from leverframe.schemas.fields import (
    EpochMs,
    LabelPart,
    LabelValue,
    Metrics,
    RequestId,
    SchemaVersion,
    SessionId,
)

__all__ = ["GroundTruth"]


class GroundTruth(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The label of one request.

    Attributes
    ----------
    request_id : str
        Of the prediction it belongs to; must equal the record's key, where it names no session.
    label : bool, int, float, str or None
        The true outcome; null withdraws an earlier label.
    part : str, optional
        Name of one part of the label (a click, an order), on routes that combine parts; each part
        is repeated, revised and withdrawn by itself.
    labelled_at_ms : int, optional
        Ms since the epoch; the record's time when left out.
    weight : float, optional
        How much this label counts, dimensionless, not negative; 1 when left out.
    metrics : dict of str to float, optional
        What was measured of the outcome, as a prediction's; those of the first label of a request
        count.
    session_id : str, optional
        The session of that prediction, and then the record's key. Where the request_id is the same,
        the label speaks of the session: the route says which of its turns get it.
    judge : bool
        True: the label is what a judge makes of the answer, a number. It is no reward; it counts as
        the metric ``judge``, which may hold an arm back and never promotes it.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    request_id: RequestId
    label: LabelValue
    part: LabelPart = ""
    labelled_at_ms: EpochMs | None = None
    weight: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    metrics: Metrics | None = None
    session_id: SessionId | None = None
    judge: bool = False
    schema_version: SchemaVersion = 1
