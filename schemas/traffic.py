"""Topic ``traffic``, keyed by ``route``: which arm answered how often, counted from predictions."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from leverframe.schemas.fields import ArmName, EpochMs, Identifier, RouteName, SchemaVersion, Serial

__all__ = [
    "CHECKED",
    "MISPLACED",
    "NEARBY_CHECKED",
    "NEARBY_MISPLACED",
    "NEARBY_ORPHAN_LABELS",
    "OVER_QUOTA",
    "OVER_QUOTA_LATELY_MS",
    "AgedCount",
    "ServedCount",
    "Traffic",
]

NEARBY_ORPHAN_LABELS: Final = "nearby_orphan_label"
"""Labels of the same partition, of any route, whose prediction never came."""
CHECKED: Final = "checked_prediction"
"""Predictions without a label whose partition was compared with that of their key: a sample."""
MISPLACED: Final = "misplaced_prediction"
"""Those of them that Kafka's default partitioner would have put elsewhere."""
NEARBY_CHECKED: Final = "nearby_checked_label"
"""The same of labels whose prediction never came, of any route."""
NEARBY_MISPLACED: Final = "nearby_misplaced_label"
"""Those of them that lie elsewhere."""
OVER_QUOTA: Final = "over_quota"
"""Requests beyond what a route's settings count in a second."""
OVER_QUOTA_LATELY_MS: Final = 600_000
"""How long after the newest of them it is still told."""

MOST: Final = 10**9
"""No worker sees more predictions in a second; sums of such counts stay whole numbers."""


class ServedCount(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Predictions of one arm under one control message.

    Attributes
    ----------
    arm : str
        That answered.
    epoch : int, optional
        Of the control message that the predictions name.
    seq : int, optional
        Likewise.
    count : int
        Predictions, duplicates left out.
    from_ms : int
        Record time of the first of them, ms since the epoch.
    of_units : int
        Those of them that name a unit.
    units : list of int
        Hashes (32 bits) of units that the worker met for the first time in a period.
    unit_period : int, optional
        Which period, counted in the route's periods since the epoch.
    replica : str, optional
        That answered, where predictions name it.
    """

    arm: ArmName
    epoch: Serial | None = None
    seq: Serial | None = None
    count: Annotated[int, Meta(ge=1, le=MOST)]
    from_ms: EpochMs
    of_units: Annotated[int, Meta(ge=0, le=MOST)] = 0
    units: list[Annotated[int, Meta(ge=0, lt=2**32)]] = []
    unit_period: Serial | None = None
    replica: Identifier | None = None


class AgedCount(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Predictions of one arm that were made at about one time.

    Attributes
    ----------
    arm : str
        That answered.
    from_ms : int
        Start of a bin of time, ms since the epoch: the wider, the longer ago.
    predicted : int
        New predictions, those left out that were not shown.
    settled : int
        Predictions that wait no more: they got a reward, or their window has ended.
    """

    arm: ArmName
    from_ms: EpochMs
    predicted: Annotated[int, Meta(ge=0, le=MOST)] = 0
    settled: Annotated[int, Meta(ge=0, le=MOST)] = 0


class Traffic(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one worker saw of a route's predictions in about a second; lost when it is killed.

    Attributes
    ----------
    route : str
        The record's key.
    served : list of ServedCount
        By arm, control message and replica.
    until_ms : int
        Newest record time, ms since the epoch.
    joins : dict of str to int
        What else happened at the join: labels, duplicates, revisions, late ones, orphans, ...
    arms : dict of str to dict of str to int
        The same by arm.
    aged : list of AgedCount
        Predictions and their rewards by when the prediction was made.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    route: RouteName
    served: list[ServedCount]
    until_ms: EpochMs
    joins: dict[str, Annotated[int, Meta(ge=0, le=MOST)]] = {}
    arms: dict[ArmName, dict[str, Annotated[int, Meta(ge=0, le=MOST)]]] = {}
    aged: list[AgedCount] = []
    schema_version: SchemaVersion = 1
