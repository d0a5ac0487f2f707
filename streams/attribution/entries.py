"""What the attribution ledger keeps for each request: versioned msgpack of typed structs.

The tag of each struct is its version. A new layout is a new struct with a new tag, and the old one
stays readable; see docs/adr/0003-typed-structs.md.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from leverframe.schemas.fields import LabelValue, PredictedValue
from leverframe.schemas.prediction import Prediction

__all__ = [
    "MAX_EARLY_LABELS",
    "MAX_LABELS_BYTES",
    "ArrivedLabel",
    "Attributed",
    "EarlyLabel",
    "Entry",
    "UnitWaiting",
    "Waiting",
    "decode_entry",
    "early_labels",
    "encode_entry",
    "labels_bytes",
    "prediction_of",
    "same_content",
    "unit_of",
    "waiting_of",
    "with_early_label",
]

MAX_EARLY_LABELS: Final = 64
"""Labels kept of one request whose prediction has not come."""
MAX_LABELS_BYTES: Final = 100_000
"""All labels, or all parts of a label, that are kept of one request: an entry is one record."""


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


class UnitWaiting(Waiting, frozen=True, array_like=True, tag=4, gc=False):
    """The same of a unit that may have several requests.

    Attributes
    ----------
    unit_id : str
        As the prediction names it.
    """

    unit_id: str


class ArrivedLabel(Struct, frozen=True, array_like=True, gc=False):
    """A label as it came.

    Attributes
    ----------
    arrived_ms : int
        Record time.
    label : bool, int, float, str or None
        None withdraws.
    labelled_at_ms : int
        As stated in the label, else its record time.
    part : str
        Which part of the label it is; "" where it names none.
    offset : int
        Of the record, for a dead letter; -1 where it was not kept.
    """

    arrived_ms: int
    label: LabelValue
    labelled_at_ms: int
    part: str = ""
    offset: int = -1


class EarlyLabel(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Labels whose prediction has not come; the newest one, and those before it.

    All are kept, since only the prediction tells which of them came in time.

    Attributes
    ----------
    arrived_ms, expires_ms : int
        Record time, and the end of the longest window of any route (its own is not known yet).
    label, labelled_at_ms, part, offset
        As in ``ArrivedLabel``.
    earlier : list of ArrivedLabel
        In the order in which they came.
    """

    arrived_ms: int
    expires_ms: int
    label: LabelValue
    labelled_at_ms: int
    part: str = ""
    offset: int = -1
    earlier: list[ArrivedLabel] = field(default_factory=list)


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
    parts : dict of str to LabelValue
        What the label consists of, in the order in which the parts came, on routes that combine
        them.
    """

    prediction: Waiting | UnitWaiting
    label: LabelValue
    labelled_at_ms: int
    reward: float | None
    revision: int
    counted_at_ms: int
    matured: bool = False
    parts: dict[str, LabelValue] = field(default_factory=dict)


Entry: TypeAlias = Waiting | UnitWaiting | EarlyLabel | Attributed

encode_entry: Final = msgspec.msgpack.Encoder().encode
decode_entry: Final = msgspec.msgpack.Decoder(Entry).decode


def prediction_of(entry: Waiting | Attributed) -> Waiting:
    """Return the prediction of an entry that has one."""
    return entry.prediction if isinstance(entry, Attributed) else entry


def unit_of(waiting: Waiting) -> str | None:
    """Return who was assigned; None where that is the request itself."""
    # isinstance takes 0.15 microseconds more where it is not.
    return waiting.unit_id if type(waiting) is UnitWaiting else None


def waiting_of(arrived_ms: int, prediction: Prediction, window_ms: int) -> Waiting:
    """Return the entry of a prediction that has just arrived, until its window ends."""
    stated = prediction.predicted_at_ms
    if prediction.unit_id is not None:
        return UnitWaiting(
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
            prediction.unit_id,
        )
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
    is_same = (a.route, a.arm, a.prediction, a.propensity, a.epoch, a.seq, a.context, a.shown) == (
        b.route, b.arm, b.prediction, b.propensity, b.epoch, b.seq, b.context, b.shown,
    )  # fmt: skip
    return is_same and unit_of(a) == unit_of(b)


def early_labels(early: EarlyLabel) -> list[ArrivedLabel]:
    """Return all labels of an entry, in the order in which they came."""
    newest = ArrivedLabel(
        early.arrived_ms, early.label, early.labelled_at_ms, early.part, early.offset
    )
    return [*early.earlier, newest]


def labels_bytes(labels: Iterable[LabelValue]) -> int:
    """Return the most that some labels take in an entry, bytes; numbers are small."""
    return sum(4 * len(label) if isinstance(label, str) else 9 for label in labels)


def with_early_label(
    early: EarlyLabel | None, label: ArrivedLabel, expires_ms: int
) -> EarlyLabel | None:
    """Return the entry after one more label came before its prediction.

    None where there are ``MAX_EARLY_LABELS`` already, or more than ``MAX_LABELS_BYTES``.
    ``expires_ms`` is the end of the longest window of any route.
    """
    earlier = [] if early is None else early_labels(early)
    if len(earlier) >= MAX_EARLY_LABELS:
        return None
    if earlier and labels_bytes([label.label, *(one.label for one in earlier)]) > MAX_LABELS_BYTES:
        return None
    return EarlyLabel(
        label.arrived_ms,
        expires_ms,
        label.label,
        label.labelled_at_ms,
        label.part,
        label.offset,
        earlier,
    )
