"""What predictions measured, as the join hands it to learning."""

import itertools
from collections.abc import Sequence

from records import T0, Record

from leverframe.schemas.codec import encode
from leverframe.schemas.measurements import METRICS_KEY, Measured, Measurements

_offsets = itertools.count(10_000_000)


def measured(arm: str, at: int = 0, unit_id: str | None = None, **values: float) -> Measured:
    return Measured(arm=arm, at_ms=T0 + at, values=values, unit_id=unit_id)


def measured_record(told: Sequence[Measured], route: str = "r") -> Record:
    """A record of ``rewards`` that holds measurements."""
    return Record(
        METRICS_KEY + route.encode(),
        encode(Measurements(route=route, measured=list(told))),
        told[-1].at_ms,
        topic="rewards",
        offset=next(_offsets),
    )
