"""What predictions and labels measured, on its way to learning, on the topic ``rewards``.

Such a record has a key of its own, which begins with NUL as that of no route does: whoever reads
``rewards`` passes over it, as the wire contract says.
"""

from typing import Final

from msgspec import Struct

from leverframe.schemas.fields import (
    ArmName,
    EpochMs,
    Metrics,
    Propensity,
    RouteName,
    SchemaVersion,
    UnitId,
)

__all__ = ["METRICS_KEY", "Measured", "Measurements", "route_of_metrics"]

METRICS_KEY: Final = b"\x00metrics\x00"
"""Before the route's name."""


class Measured(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was measured of one request.

    Attributes
    ----------
    arm : str
        That answered.
    at_ms : int
        Record time of the prediction, ms since the epoch.
    values : dict of str to float
        As the prediction gave them, or its label; those that the route declares.
    unit_id : str, optional
        As in the prediction.
    propensity : float, optional
        As in the prediction, for off-policy evaluation.
    by_label : bool
        True: they came with the label of the request.
    """

    arm: ArmName
    at_ms: EpochMs
    values: Metrics
    unit_id: UnitId | None = None
    propensity: Propensity | None = None
    by_label: bool = False


class Measurements(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What new predictions of a route measured, and first labels, each exactly once.

    Attributes
    ----------
    route : str
        Its name.
    measured : list of Measured
        In the order in which they were read.
    schema_version : int
        Of the record's layout, 1 when left out.
    """

    route: RouteName
    measured: list[Measured]
    schema_version: SchemaVersion = 1


def route_of_metrics(key: bytes | None) -> bytes | None:
    """Return the route of such a record, by its key.

    Parameters
    ----------
    key : bytes or None
        Of a record of ``rewards``.

    Returns
    -------
    bytes or None
        None for any other record.

    Examples
    --------
    >>> route_of_metrics(METRICS_KEY + b"checkout"), route_of_metrics(b"checkout")
    (b'checkout', None)
    """
    if key is None or not key.startswith(METRICS_KEY):
        return None
    return key[len(METRICS_KEY) :]
