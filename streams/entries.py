"""What the attribution ledger keeps for each request: versioned msgpack of typed structs.

The tag of each struct is its version. A new layout is a new struct with a new tag, and the old one
stays readable; see docs/adr/0003-typed-structs.md.
"""

from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from schemas.fields import LabelValue, PredictedValue
from schemas.prediction import Prediction

__all__ = [
    "Attributed",
    "EarlyLabel",
    "Entry",
    "Waiting",
    "decode_entry",
    "encode_entry",
    "same_content",
    "waiting_of",
]


class Waiting(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A prediction whose label has not come.

    Attributes
    ----------
    arrived_ms : int
        Record time of the prediction.
    expires_ms : int
        When its attribution window ends.
    predicted_at_ms : int
        As stated in the prediction, else its record time.
    """

    arrived_ms: int
    expires_ms: int
    route: str
    arm: str
    prediction: PredictedValue
    propensity: float | None
    epoch: int | None
    seq: int | None
    context: list[float] | None
    predicted_at_ms: int
    shown: bool


class EarlyLabel(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """A label whose prediction has not come.

    Attributes
    ----------
    arrived_ms, expires_ms : int
        Record time, and the end of the longest window of any route (its own is not known yet).
    """

    arrived_ms: int
    expires_ms: int
    label: LabelValue
    labelled_at_ms: int


class Attributed(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """A request that was rewarded; kept until its window ends, for duplicates and revisions.

    Attributes
    ----------
    prediction : Waiting
        The prediction as it was.
    label : bool, int, float, str or None
        The label in force; None after a withdrawal.
    reward : float or None
        What is counted now.
    revision : int
        Of the last reward record.
    counted_at_ms : int
        Stream time at which this request first counted.
    matured : bool
        Whether the time of the route's default reward has passed, and was told.
    """

    prediction: Waiting
    label: LabelValue
    labelled_at_ms: int
    reward: float | None
    revision: int
    counted_at_ms: int
    matured: bool = False


Entry: TypeAlias = Waiting | EarlyLabel | Attributed

encode_entry: Final = msgspec.msgpack.Encoder().encode
decode_entry: Final = msgspec.msgpack.Decoder(Entry).decode


def waiting_of(arrived_ms: int, prediction: Prediction, window_ms: int) -> Waiting:
    """Return the entry of a prediction that has just arrived.

    Parameters
    ----------
    arrived_ms : int
        Its record time.
    prediction : Prediction
        The record's content.
    window_ms : int
        Attribution window of its route.

    Returns
    -------
    Waiting
        Until its window ends.
    """
    stated = prediction.predicted_at_ms
    return Waiting(
        arrived_ms,
        arrived_ms + window_ms,
        prediction.route,
        prediction.arm,
        prediction.prediction,
        prediction.propensity,
        prediction.epoch,
        prediction.seq,
        prediction.context,
        arrived_ms if stated is None else stated,
        prediction.shown,
    )


def same_content(a: Waiting, b: Waiting) -> bool:
    """Whether two predictions say the same; when they arrived does not count."""
    return (a.route, a.arm, a.prediction, a.propensity, a.epoch, a.seq, a.context, a.shown) == (
        b.route, b.arm, b.prediction, b.propensity, b.epoch, b.seq, b.context, b.shown,
    )  # fmt: skip
