"""What the attribution ledger keeps for each request: versioned msgpack of typed structs.

The tag of each struct is its version. A new layout is a new struct with a new tag, and the old one
stays readable; see docs/adr/0003-typed-structs.md.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct, field, structs

from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue, PredictedValue
from leverframe.schemas.prediction import Prediction

__all__ = [
    "MAX_ANSWERS_BYTES",
    "MAX_EARLY_LABELS",
    "MAX_LABELS_BYTES",
    "ArrivedLabel",
    "Attributed",
    "EarlyLabel",
    "Entry",
    "Kept",
    "PricedWaiting",
    "Session",
    "SessionLabel",
    "ShadowWaiting",
    "Shared",
    "UnitWaiting",
    "Waiting",
    "accounts_of",
    "answer_bytes",
    "early_labels",
    "labels_bytes",
    "labels_of",
    "prediction_of",
    "price_of",
    "priced",
    "same_content",
    "unit_of",
    "waiting_of",
    "with_early_label",
    "with_label",
]

MAX_EARLY_LABELS: Final = 64
"""Labels kept of one request whose prediction has not come."""
MAX_LABELS_BYTES: Final = 100_000
"""All labels, or all parts of a label, that are kept of one request: an entry is one record."""

MAX_ANSWERS_BYTES: Final = 500_000
"""All answers that are kept of one request, likewise."""


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

    @property
    def served(self) -> bool:
        """Whether this answer was given, or computed in shadow."""
        return type(self) is not ShadowWaiting


class UnitWaiting(Waiting, frozen=True, array_like=True, tag=4, gc=False):
    """The same of a unit that may have several requests.

    Attributes
    ----------
    unit_id : str
        As the prediction names it.
    """

    unit_id: str


class ShadowWaiting(Waiting, frozen=True, array_like=True, tag=5, gc=False):
    """The same of an answer that was computed in shadow, beside the one that was given.

    Attributes
    ----------
    unit_id : str or None
        As the prediction names it.
    """

    unit_id: str | None


class PricedWaiting(Waiting, frozen=True, array_like=True, tag=8, gc=False):
    """The same where metrics are part of the reward.

    Attributes
    ----------
    unit_id : str or None
        As the prediction names it.
    price : float
        What they add to the reward.
    """

    unit_id: str | None
    price: float


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
    metrics : dict of str to float or None
        That came with it.
    """

    arrived_ms: int
    label: LabelValue
    labelled_at_ms: int
    part: str = ""
    offset: int = -1
    metrics: dict[str, float] | None = None


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
    metrics : dict of str to float or None
        As in ``ArrivedLabel``.
    """

    arrived_ms: int
    expires_ms: int
    label: LabelValue
    labelled_at_ms: int
    part: str = ""
    offset: int = -1
    earlier: list[ArrivedLabel] = field(default_factory=list)
    metrics: dict[str, float] | None = None


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

    prediction: Waiting | UnitWaiting | ShadowWaiting | PricedWaiting
    label: LabelValue
    labelled_at_ms: int
    reward: float | None
    revision: int
    counted_at_ms: int
    matured: bool = False
    parts: dict[str, LabelValue] = field(default_factory=dict)


class Shared(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """A request that several arms answered, or may yet: one label speaks of all of them.

    Attributes
    ----------
    accounts : list of Waiting or Attributed
        One for each arm, in the order in which they came.
    labels : list of ArrivedLabel
        As they came, the newest ``MAX_EARLY_LABELS``: an arm may answer after its label.
    """

    accounts: list[Waiting | UnitWaiting | ShadowWaiting | PricedWaiting | Attributed]
    labels: list[ArrivedLabel] = field(default_factory=list)


Entry: TypeAlias = (
    Waiting | UnitWaiting | ShadowWaiting | PricedWaiting | EarlyLabel | Attributed | Shared
)
"""What is kept of a request."""


class SessionLabel(Struct, frozen=True, array_like=True, gc=False):
    """A label that names a session.

    Attributes
    ----------
    request_id : str
        Of the turn it speaks of; empty where that is the whole session.
    label : ArrivedLabel
        As it came.
    is_judge : bool
        Whether a judge says it: it is no reward then.
    """

    request_id: str
    label: ArrivedLabel
    is_judge: bool = False


class Session(Struct, frozen=True, array_like=True, tag=9):
    """A conversation: its turns, each a request, and labels that were not counted yet.

    Attributes
    ----------
    turns : dict of str to Entry
        By request id, for as long as each is kept.
    spoken : dict of str to int
        Turns that have had a label of their own, with the record time of its newest: the session's
        pass them by.
    labels : list of SessionLabel
        In the order in which they came, until every turn before them was read.
    judged : list of str
        Turns of which a judge's score was counted: the first one does.
    """

    turns: dict[str, Entry] = field(default_factory=dict)
    spoken: dict[str, int] = field(default_factory=dict)
    labels: list[SessionLabel] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)


Kept: TypeAlias = Entry | Session
"""What one key of the ledger holds."""


def prediction_of(entry: Waiting | Attributed) -> Waiting:
    """Return the prediction of an account."""
    # Every label pays for this, and isinstance() is a call.
    return entry.prediction if type(entry) is Attributed else entry  # type: ignore[return-value]


def accounts_of(entry: Waiting | Attributed | Shared) -> list[Waiting | Attributed]:
    """Return the accounts of an entry, one for each arm that answered."""
    return entry.accounts if isinstance(entry, Shared) else [entry]


def labels_of(entry: Waiting | Attributed | Shared) -> list[ArrivedLabel]:
    """Return the labels that an arm which answers only now is to be judged by, as they came.

    Where they were not kept, the one in force, with the time at which it first counted.
    """
    if isinstance(entry, Shared):
        return entry.labels
    if isinstance(entry, Waiting):
        return []
    parts = entry.parts or {"": entry.label}
    return [
        ArrivedLabel(entry.counted_at_ms, label, entry.labelled_at_ms, part)
        for part, label in parts.items()
        if label is not None
    ]


def with_label(shared: Shared, label: ArrivedLabel) -> list[ArrivedLabel]:
    """Return the labels after one more, the oldest left out where they are too many."""
    after = [*shared.labels, label][-MAX_EARLY_LABELS:]
    while len(after) > 1 and labels_bytes(one.label for one in after) > MAX_LABELS_BYTES:
        del after[0]
    return after


def answer_bytes(waiting: Waiting) -> int:
    """Return the most that a prediction takes in an entry, bytes."""
    said = waiting.prediction
    size = 9 * len(waiting.context or ()) + 4 * (len(waiting.route) + len(waiting.arm)) + 100
    if isinstance(said, dict):
        return size + sum(4 * len(name) + 14 for name in said)
    return size + (4 * len(said) if isinstance(said, str) else 9)


def unit_of(waiting: Waiting) -> str | None:
    """Return who was assigned; None where that is the request itself."""
    # Every label pays for this: isinstance takes 0.15 microseconds more where it is not.
    if type(waiting) is Waiting:
        return None
    return waiting.unit_id if isinstance(waiting, _OF_UNITS) else None


_OF_UNITS: Final = (UnitWaiting, ShadowWaiting, PricedWaiting)


def price_of(waiting: Waiting) -> float:
    """Return what the metrics of a prediction add to its reward."""
    return waiting.price if type(waiting) is PricedWaiting else 0.0


def priced(waiting: Waiting, price: float) -> PricedWaiting:
    """Return an answer that was served, with what its metrics add to its reward."""
    said = structs.astuple(waiting)[: len(Waiting.__struct_fields__)]
    return PricedWaiting(*[*said, unit_of(waiting), price])


def waiting_of(arrived_ms: int, prediction: Prediction, window_ms: int) -> Waiting:
    """Return the entry of a prediction that has just arrived, until its window ends."""
    stated = prediction.predicted_at_ms
    if prediction.served and prediction.unit_id is None:
        # Written out: building the arguments first takes a third more.
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
    said = (
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
    if not prediction.served:
        return ShadowWaiting(*said, prediction.unit_id)
    return UnitWaiting(*said, str(prediction.unit_id))


def same_content(a: Waiting, b: Waiting) -> bool:
    """Whether two predictions say the same; when they arrived does not count."""
    is_same = (a.route, a.arm, a.prediction, a.propensity, a.epoch, a.seq, a.context, a.shown) == (
        b.route, b.arm, b.prediction, b.propensity, b.epoch, b.seq, b.context, b.shown,
    )  # fmt: skip
    is_same = is_same and type(a) is type(b) and unit_of(a) == unit_of(b)
    return is_same and price_of(a) == price_of(b)


def early_labels(early: EarlyLabel) -> list[ArrivedLabel]:
    """Return all labels of an entry, in the order in which they came."""
    newest = ArrivedLabel(
        early.arrived_ms, early.label, early.labelled_at_ms, early.part, early.offset, early.metrics
    )
    return [*early.earlier, newest]


def labels_bytes(labels: Iterable[LabelValue]) -> int:
    """Return the most that some labels take in an entry, bytes; numbers are small."""
    return sum(4 * len(label) if isinstance(label, str) else 9 for label in labels)


def with_early_label(early: EarlyLabel | None, label: ArrivedLabel, expires_ms: int) -> EarlyLabel:
    """Return the entry after one more label came before its prediction.

    ``RecordError`` where there are ``MAX_EARLY_LABELS`` already, or more than ``MAX_LABELS_BYTES``.
    ``expires_ms`` is the end of the longest window of any route.
    """
    earlier = [] if early is None else early_labels(early)
    waiting = [label.label, *(one.label for one in earlier)]
    if earlier and (len(earlier) >= MAX_EARLY_LABELS or labels_bytes(waiting) > MAX_LABELS_BYTES):
        raise RecordError(
            "limit",
            f"{MAX_EARLY_LABELS} labels of this request wait for its prediction, or "
            f"{MAX_LABELS_BYTES} bytes of them",
        )
    return EarlyLabel(
        label.arrived_ms,
        expires_ms,
        label.label,
        label.labelled_at_ms,
        label.part,
        label.offset,
        earlier,
        label.metrics,
    )
