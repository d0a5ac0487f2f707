"""A session's turns, and which of them a label gets that speaks of the session.

Labels that name a session are counted once the slower input has passed their time: every turn
before them was read by then, so that it makes no difference which topic was read first.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import structs

from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.answers import foremost
from leverframe.streams.attribution.entries import (
    MAX_ANSWERS_BYTES,
    MAX_LABELS_BYTES,
    ArrivedLabel,
    Attributed,
    EarlyLabel,
    Entry,
    Kept,
    Session,
    SessionLabel,
    Shared,
    Waiting,
    accounts_of,
    answer_bytes,
    early_labels,
    labels_bytes,
    prediction_of,
    unit_of,
)
from leverframe.streams.routes.route import Route, RouteTable

__all__ = [
    "JUDGE",
    "MAX_TURNS",
    "answer_in",
    "as_turn",
    "shares_of",
    "with_session_label",
    "with_turns",
]

JUDGE: Final = "judge"
"""The metric that a judge's score counts as."""
MAX_TURNS: Final = 256
"""Turns of a session that are kept at once; each is for its window."""
MAX_WAITING_LABELS: Final = 256
"""Labels of a session that were read, and are counted by the next sweep."""


def as_turn(prediction: Prediction, session_id: str) -> Prediction:
    """Return a turn's prediction: the session is the unit where no other is named.

    Rewards of one session are no independent draws, and the guard counts a unit once a period.
    """
    if prediction.unit_id is not None:
        return prediction
    return structs.replace(prediction, unit_id=session_id)


def with_turns(session: Session, changed: Mapping[str, Kept]) -> Session:
    """Return a session after some of its turns changed.

    Raises ``RecordError``: ``limit`` for too many turns, or too large ones.
    """
    turns = {**session.turns, **changed}
    if len(turns) > MAX_TURNS:
        raise RecordError("limit", f"{MAX_TURNS} turns of this session are kept, no more")
    if sum(_turn_bytes(name, turn) for name, turn in turns.items()) > MAX_ANSWERS_BYTES:
        raise RecordError("limit", f"turns of this session have over {MAX_ANSWERS_BYTES} bytes")
    return structs.replace(session, turns=turns)


def with_session_label(session: Session, truth: GroundTruth, label: ArrivedLabel) -> Session:
    """Return a session with one more label, of it or of one of its turns.

    Raises ``RecordError``: ``unsupported`` for a part of the whole session, ``invalid`` for a judge
    whose score is no number, ``limit`` for too many labels that were not counted yet.
    """
    if truth.judge:
        label = _score(label)
    is_whole = truth.request_id == truth.session_id
    if is_whole and label.part:
        raise RecordError("unsupported", "a label of a session has no parts; name a turn for one")
    said = SessionLabel("" if is_whole else truth.request_id, label, truth.judge)
    labels = [*session.labels, said]
    size = sum(_label_bytes(one.label) + 4 * len(one.request_id) for one in labels)
    if len(labels) > MAX_WAITING_LABELS or size > MAX_LABELS_BYTES:
        raise RecordError(
            "limit",
            f"{MAX_WAITING_LABELS} labels of this session are still to be counted, or "
            f"{MAX_LABELS_BYTES} bytes of them",
        )
    return structs.replace(session, labels=labels)


def _score(label: ArrivedLabel) -> ArrivedLabel:
    """A judge's label, with its score among the metrics that come with it."""
    score = label.label
    if not isinstance(score, int | float):
        told = "a judge's label is its score, a number"
        raise RecordError("invalid", f"{told}, not {score!r:.80}; a judge withdraws nothing")
    return structs.replace(label, metrics={**(label.metrics or {}), JUDGE: float(score)})


def shares_of(
    turns: Mapping[str, Entry], spoken: Mapping[str, int], label: ArrivedLabel, routes: RouteTable
) -> Iterator[tuple[str, ArrivedLabel]]:
    """Yield the turns that get a label of the session, oldest first, and what each of them gets.

    Of each route the turns that were served and shown, up to the label's record time. The last one
    alone gets its metrics. A turn's own label that is older than its window counted for nothing,
    and keeps no other away. Raises ``RecordError`` where a label cannot be shared:
    ``unrewardable``.
    """
    by_route: dict[str, list[tuple[int, str]]] = {}
    for request_id, entry in turns.items():
        waiting = answer_in(entry)
        if waiting is not None and waiting.arrived_ms <= label.arrived_ms:
            by_route.setdefault(waiting.route, []).append((waiting.arrived_ms, request_id))
    for name in sorted(by_route):
        route = routes.get(name)
        newest_first = sorted(by_route[name], reverse=True)
        if route is None:
            continue
        for after, (at_ms, request_id) in reversed([*enumerate(newest_first)]):
            share = _share(label, route, after)
            own_ms = spoken.get(request_id)
            is_spoken = own_ms is not None and at_ms - own_ms <= route.window_ms
            if share is not None and not is_spoken:
                yield request_id, share


def _share(label: ArrivedLabel, route: Route, after: int) -> ArrivedLabel | None:
    """What a turn gets that has so many turns after it; None for nothing."""
    rule = route.settings.session_label
    if after == 0:
        return label
    if rule == "last":
        return None
    value = label.label
    if rule == "decayed" and value is not None:
        if not isinstance(value, int | float):
            raise RecordError("unrewardable", f"decayed shares need a number, not {value!r:.80}")
        value *= route.settings.session_decay**after
    return structs.replace(label, label=value, metrics=None)


def answer_in(entry: Entry) -> Waiting | None:
    """The answer that was given in a turn, where the user saw one."""
    if isinstance(entry, EarlyLabel):
        return None
    waiting = foremost(accounts_of(entry))
    return waiting if waiting.served and waiting.shown else None


def _turn_bytes(name: str, entry: Kept) -> int:
    """The most that a turn takes in the session's entry, bytes; its name may stand there thrice."""
    size = 12 * len(name) + 20
    if isinstance(entry, EarlyLabel):
        return size + sum(map(_label_bytes, early_labels(entry)))
    if isinstance(entry, Session):
        return size
    for account in accounts_of(entry):
        waiting = prediction_of(account)
        size += answer_bytes(waiting) + 4 * len(unit_of(waiting) or "") + 100
        if isinstance(account, Attributed):
            size += labels_bytes([account.label, *account.parts.values()])
            size += sum(4 * len(part) + 5 for part in account.parts)
    if isinstance(entry, Shared):
        size += sum(map(_label_bytes, entry.labels))
    return size


def _label_bytes(label: ArrivedLabel) -> int:
    """The most that a label takes, bytes."""
    names = [label.part, *(label.metrics or ())]
    return 60 + labels_bytes([label.label]) + sum(4 * len(name) + 14 for name in names)
