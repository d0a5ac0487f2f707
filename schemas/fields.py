"""The kinds of field that records are made of, with the limits that every reader enforces.

Lengths are counted in Unicode code points. A leading NUL is reserved for the ledger's own keys; the
steps refuse such a name, since a pattern here would cost 0.6 microseconds for each record.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

__all__ = [
    "ArmName",
    "EpochMs",
    "FiniteNumber",
    "Identifier",
    "LabelPart",
    "LabelValue",
    "MetricName",
    "Metrics",
    "PredictedValue",
    "Propensity",
    "RequestId",
    "RouteName",
    "SchemaVersion",
    "Serial",
    "SessionId",
    "UnitId",
]

RequestId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="Joins label to prediction")
]
RouteName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="Where a model is chosen")
]
ArmName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="One model version")
]
UnitId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="Who was assigned: a user, a session")
]
SessionId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="The conversation it is part of")
]
Identifier: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
LabelPart: TypeAlias = Annotated[
    str, Meta(max_length=64, description="Which part of the label it is")
]
EpochMs: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=253_402_300_799_999, description="Milliseconds since the epoch, to year 9999"),
]
Serial: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
SchemaVersion: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1, description="Version of the record's layout; 1 when left out"),
]
Propensity: TypeAlias = Annotated[
    float, Meta(gt=0, le=1, description="Probability with which the arm was chosen")
]
FiniteNumber: TypeAlias = Annotated[float, Meta(ge=-1.0e308, le=1.0e308)]

MetricName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, description="What was measured of a request")
]
Metrics: TypeAlias = Annotated[dict[MetricName, FiniteNumber], Meta(max_length=16)]

WholeNumber: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

PredictedValue: TypeAlias = bool | WholeNumber | float | str | dict[str, float]
LabelValue: TypeAlias = bool | WholeNumber | float | str | None
