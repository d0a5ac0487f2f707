"""Topic ``traffic``, keyed by ``route``: which arm answered how often, counted from predictions."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import ArmName, EpochMs, RouteName, Serial

__all__ = ["ServedCount", "Traffic"]

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
    """

    arm: ArmName
    epoch: Serial | None = None
    seq: Serial | None = None
    count: Annotated[int, Meta(ge=1, le=MOST)]
    from_ms: EpochMs


class Traffic(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one worker saw of a route's predictions in about a second; lost when it is killed.

    Attributes
    ----------
    route : str
        The record's key.
    served : list of ServedCount
        By arm and control message.
    until_ms : int
        Newest record time, ms since the epoch.
    joins : dict of str to int
        What else happened at the join: labels, duplicates, revisions, late ones, orphans, ...
    """

    route: RouteName
    served: list[ServedCount]
    until_ms: EpochMs
    joins: dict[str, Annotated[int, Meta(ge=0, le=MOST)]] = {}
