"""One request's account: how a label moves it, whether it came in time, and what is told of it.

Decided by record times alone, and by the order of the records within each topic: whether the
prediction or the label was read first makes no difference.
"""

from typing import Final, TypeAlias

from msgspec import structs

from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue
from leverframe.schemas.reward import Reward, RewardCause
from leverframe.streams.attribution.entries import (
    MAX_LABELS_BYTES,
    ArrivedLabel,
    Attributed,
    Waiting,
    labels_bytes,
)
from leverframe.streams.attribution.parts import combined, with_part
from leverframe.streams.attribution.rewarding import give_reward, mature
from leverframe.streams.routes.route import Route

__all__ = ["Movement", "take_label"]

MAX_PARTS: Final = 64

Movement: TypeAlias = tuple[Waiting | Attributed, list[Reward], list[str]]
"""The entry after it, the reward records that say what changed, and what is to be counted."""


def take_label(
    request_id: str, entry: Waiting | Attributed, label: ArrivedLabel, route: Route
) -> Movement:
    """Move an account by one label.

    Parameters
    ----------
    request_id : str
        Of the request.
    entry : Waiting or Attributed
        Its entry; the same object comes back where nothing changes.
    label : ArrivedLabel
        In the order of the topic.
    route : Route
        The prediction's.

    Returns
    -------
    Movement
        What changes.

    Raises
    ------
    RecordError
        ``window_closed`` for a change after the window, ``unrewardable`` for a label that the
        reward function cannot use, ``unsupported`` for a part on a route that combines none.
    """
    account = entry if type(entry) is Attributed else None
    waiting: Waiting = entry if account is None else account.prediction  # type: ignore[assignment]
    is_late = label.arrived_ms > waiting.expires_ms
    if account is None and is_late:
        return entry, [], ["late_label"]
    if waiting.arrived_ms - label.arrived_ms > route.window_ms:
        return entry, [], ["late_prediction"]
    after = _label_after(account, label, route)
    if after is None:
        return entry, [], [] if account is None else ["duplicate_label"]
    if is_late:
        raise RecordError(
            "window_closed",
            f"the attribution window of this request ended at {waiting.expires_ms} ms; "
            "the reward in force stays",
        )
    value, parts = after
    if parts is not None and account is not None and _same(value, account.label):
        return structs.replace(account, parts=parts), [], ["part_without_effect"]
    return _rewarded(request_id, waiting, account, label, value, parts, route)


def _same(a: LabelValue, b: LabelValue) -> bool:
    return a == b and type(a) is type(b)


def _label_after(
    account: Attributed | None, label: ArrivedLabel, route: Route
) -> tuple[LabelValue, dict[str, LabelValue] | None] | None:
    """The label in force after this one, and its parts; None where nothing changes."""
    if route.combine_parts is None:
        if label.part:
            raise RecordError(
                "unsupported",
                f"it is part {label.part!r} of a label: set combine_parts for its route",
            )
        before = None if account is None else account.label
        return None if _same(label.label, before) else (label.label, None)
    parts = with_part(account.parts if account is not None else {}, label.part, label.label)
    if parts is None:
        return None
    if len(parts) > MAX_PARTS or labels_bytes(parts.values()) > MAX_LABELS_BYTES:
        raise RecordError(
            "limit",
            f"a label has at most {MAX_PARTS} parts in force, and {MAX_LABELS_BYTES} bytes of text",
        )
    return combined(parts, route.combine_parts), parts


def _rewarded(
    request_id: str,
    waiting: Waiting,
    account: Attributed | None,
    label: ArrivedLabel,
    value: LabelValue,
    parts: dict[str, LabelValue] | None,
    route: Route,
) -> Movement:
    reward = None
    # A label for an answer that nobody saw is an account of its own, but never a reward.
    if value is not None and waiting.shown:
        reward = route.reward.reward(waiting.prediction, value)
    told = late = None
    if route.matures_after_ms is not None:
        # Where the sweep is late, what it would have told comes first, so the records agree.
        told = mature(request_id, account or waiting, route, label.arrived_ms)
    before = account if told is None else told[0]
    cause: RewardCause = "label" if before is None else "revision"
    if reward is None:
        cause = "withdrawal"
    now_ms = max(label.arrived_ms, waiting.arrived_ms)
    after, record = give_reward(
        request_id,
        waiting,
        label=value,
        parts=parts,
        reward=reward,
        cause=cause,
        labelled_at_ms=label.labelled_at_ms,
        now_ms=now_ms,
        before=before,
    )
    if not waiting.shown:
        return after, [], ["not_shown"]
    # "label" counts labels that arrive; this one met its prediction.
    records, what = [record], ["labelled" if cause == "label" else str(cause)]
    if told is not None:
        records.insert(0, told[1])
        what.insert(0, "expiry" if account is None else "matured")
    if route.matures_after_ms is not None:
        # A request that had no reward when it matured is told as soon as it has one.
        late = mature(request_id, after, route, label.arrived_ms, now_ms)
    if late is not None:
        after = late[0]
        records.append(late[1])
        what.append("matured")
    return after, records, what
