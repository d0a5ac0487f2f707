"""One request's account: how a label or silence moves it, and the reward record that says so.

Decided by record times alone, and by the order of the records within each topic: whether the
prediction or the label was read first makes no difference.
"""

from typing import Final

from msgspec import Struct, field, structs

from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue
from leverframe.schemas.reward import Reward, RewardCause
from leverframe.streams.attribution.entries import (
    MAX_LABELS_BYTES,
    ArrivedLabel,
    Attributed,
    ShadowWaiting,
    Waiting,
    labels_bytes,
    prediction_of,
    price_of,
    unit_of,
)
from leverframe.streams.attribution.parts import combined, with_part
from leverframe.streams.routes.route import Route

__all__ = ["Movement", "Settled", "mature", "matures_at_ms", "take_label"]

MAX_PARTS: Final = 64
# As schemas.fields.FiniteNumber has it.
LARGEST_REWARD: Final = 1e308


class Movement(Struct):
    """What a label does to an account.

    Attributes
    ----------
    entry : Waiting or Attributed
        After it; the same object as before where nothing changes.
    rewards : list of Reward
        That say what changed.
    events : list of str
        To be counted.
    is_first : bool
        Whether the request had no label before.
    """

    entry: Waiting | Attributed
    rewards: list[Reward] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    is_first: bool = False


class Settled(Struct):
    """An account that has just been rewarded, and the record that says so."""

    entry: Attributed
    reward: Reward


class _Label(Struct, frozen=True):
    """The label in force after one that came; its parts, on routes that combine them."""

    value: LabelValue
    parts: dict[str, LabelValue] | None


def take_label(
    request_id: str, entry: Waiting | Attributed, label: ArrivedLabel, route: Route
) -> Movement:
    """Move an account by one label, in the order of the topic.

    Refused by a ``RecordError``: ``window_closed`` for a change after the window, ``unrewardable``
    for a label that the reward function cannot use, ``unsupported`` for a part on a route that
    combines none, ``limit`` for too many parts.
    """
    account = entry if isinstance(entry, Attributed) else None
    waiting = prediction_of(entry)
    is_late = label.arrived_ms > waiting.expires_ms
    if account is None and is_late:
        return Movement(entry, [], ["late_label"])
    if waiting.arrived_ms - label.arrived_ms > route.window_ms:
        return Movement(entry, [], ["late_prediction"])
    after = _label_after(account, label, route)
    if after is None:
        return Movement(entry, [], [] if account is None else ["duplicate_label"])
    if is_late:
        raise RecordError(
            "window_closed",
            f"the attribution window of this request ended at {waiting.expires_ms} ms; "
            "the reward in force stays",
        )
    if after.parts is not None and account is not None and _is_same(after.value, account.label):
        return Movement(structs.replace(account, parts=after.parts), [], ["part_without_effect"])
    return _rewarded(request_id, waiting, account, label, after, route)


def _is_same(a: LabelValue, b: LabelValue) -> bool:
    return a == b and type(a) is type(b)


def _label_after(account: Attributed | None, label: ArrivedLabel, route: Route) -> _Label | None:
    """None where nothing changes."""
    if route.combine_parts is None:
        if label.part:
            raise RecordError(
                "unsupported",
                f"it is part {label.part!r} of a label: set combine_parts for its route",
            )
        before = None if account is None else account.label
        return None if _is_same(label.label, before) else _Label(label.label, None)
    parts = with_part(account.parts if account is not None else {}, label.part, label.label)
    if parts is None:
        return None
    if len(parts) > MAX_PARTS or labels_bytes(parts.values()) > MAX_LABELS_BYTES:
        raise RecordError(
            "limit",
            f"a label has at most {MAX_PARTS} parts in force, and {MAX_LABELS_BYTES} bytes of text",
        )
    return _Label(combined(parts, route.combine_parts), parts)


def _rewarded(
    request_id: str,
    waiting: Waiting,
    account: Attributed | None,
    label: ArrivedLabel,
    after: _Label,
    route: Route,
) -> Movement:
    reward = None
    # A label for an answer that nobody saw is an account of its own, but never a reward.
    if after.value is not None and waiting.shown:
        reward = _reward_of(waiting, after.value, route)
    matured = late = None
    if route.matures_after_ms is not None:
        # Where the sweep is late, what it would have said comes first, so the records agree.
        matured = mature(request_id, account or waiting, route, label.arrived_ms)
    before = account if matured is None else matured.entry
    cause: RewardCause = "label" if before is None else "revision"
    if reward is None:
        cause = "withdrawal"
    now_ms = max(label.arrived_ms, waiting.arrived_ms)
    settled = _settle(
        request_id,
        waiting,
        label=after.value,
        parts=after.parts,
        reward=reward,
        cause=cause,
        labelled_at_ms=label.labelled_at_ms,
        now_ms=now_ms,
        before=before,
    )
    if not waiting.shown:
        return Movement(settled.entry, [], ["not_shown"])
    # What counted the default, as long as nobody spoke, had no label.
    is_first = account is None or (account.label is None and account.revision == 0)
    events = _events(cause, waiting, after.value, route)
    movement = Movement(settled.entry, [settled.reward], events, is_first)
    if matured is not None:
        movement.rewards.insert(0, matured.reward)
        movement.events.insert(0, "expiry" if account is None else "matured")
    if route.matures_after_ms is not None:
        # A request that had no reward when it matured is told as soon as it has one.
        late = mature(request_id, settled.entry, route, label.arrived_ms, now_ms)
    if late is not None:
        movement.entry = late.entry
        movement.rewards.append(late.reward)
        movement.events.append("matured")
    return movement


def _reward_of(waiting: Waiting, label: LabelValue, route: Route) -> float:
    """Refuse what a reward record cannot hold: learning would have to set our own record aside."""
    reward = route.reward.reward(waiting.prediction, label)
    if route.prices:
        reward += price_of(waiting)
    if not -LARGEST_REWARD <= reward <= LARGEST_REWARD:
        raise RecordError("unrewardable", f"the reward would be {reward!r}, beyond all that counts")
    return reward


def _events(cause: RewardCause, waiting: Waiting, value: LabelValue, route: Route) -> list[str]:
    # "label" counts labels that arrive; this one met its prediction.
    events = ["labelled" if cause == "label" else str(cause)]
    prediction = waiting.prediction
    is_class = route.compares_classes and not (isinstance(prediction, dict) or value is None)
    # One of them writes the class as text, and the other one does not.
    if is_class and isinstance(prediction, str) != isinstance(value, str):
        events.append("unlike_types")
    return events


def matures_at_ms(waiting: Waiting, route: Route) -> int | None:
    """Return the stream time at which a request matures, at the end of its window at the latest.

    It then counts the route's default reward if it has no label. None where the route looks at
    labels as they come, or nobody saw the answer.
    """
    if route.matures_after_ms is None or not waiting.shown:
        return None
    return min(waiting.arrived_ms + route.matures_after_ms, waiting.expires_ms)


def mature(
    request_id: str,
    entry: Waiting | Attributed,
    route: Route,
    until_ms: int,
    newest_ms: int = 0,
) -> Settled | None:
    """Say what a request counts when it matures, once; None where nothing is due.

    Without a label it is the route's default reward, or nothing. With one it is the same reward
    again, which changes no sum: the guard, which must see slow and fast labels alike, looks at
    these records alone. The record is not dated before ``newest_ms``.
    """
    account = entry if isinstance(entry, Attributed) else None
    waiting = prediction_of(entry)
    due_ms = matures_at_ms(waiting, route)
    if due_ms is None or due_ms >= until_ms:
        return None
    reward = _default_of(waiting, route) if account is None else account.reward
    if reward is None or (account is not None and account.matured):
        return None
    return _settle(
        request_id,
        waiting,
        label=None if account is None else account.label,
        reward=reward,
        cause="expiry",
        labelled_at_ms=due_ms if account is None else account.labelled_at_ms,
        now_ms=max(due_ms, newest_ms),
        before=account,
        is_mature=True,
    )


def _default_of(waiting: Waiting, route: Route) -> float | None:
    default = route.default_reward
    if default is None or not route.prices:
        return default
    return default + price_of(waiting)


def _settle(  # noqa: PLR0913 - a record has many fields
    request_id: str,
    waiting: Waiting,
    *,
    label: LabelValue,
    reward: float | None,
    cause: RewardCause,
    labelled_at_ms: int,
    now_ms: int,
    before: Attributed | None,
    is_mature: bool = False,
    parts: dict[str, LabelValue] | None = None,
) -> Settled:
    """Count a reward in place of what the request counted before; once mature it stays so."""
    revision = 0 if before is None else before.revision + 1
    counted_at_ms = now_ms if before is None else before.counted_at_ms
    is_mature = is_mature or (before is not None and before.matured)
    if parts is None:
        parts = {} if before is None else before.parts
    entry = Attributed(
        waiting, label, labelled_at_ms, reward, revision, counted_at_ms, is_mature, parts
    )
    previous = None if before is None else before.reward
    if type(waiting) is ShadowWaiting:
        # Written out: three in four rewards may be of answers in shadow, and replace() is slow.
        shadow = Reward(
            request_id=request_id,
            route=waiting.route,
            arm=waiting.arm,
            reward=reward,
            previous_reward=previous,
            revision=revision,
            cause=cause,
            epoch=waiting.epoch,
            seq=waiting.seq,
            context=waiting.context,
            predicted_at_ms=waiting.predicted_at_ms,
            labelled_at_ms=labelled_at_ms,
            attributed_at_ms=now_ms,
            counted_at_ms=None if before is None else counted_at_ms,
            served=False,
        )
        unit = waiting.unit_id
        return Settled(entry, shadow if unit is None else structs.replace(shadow, unit_id=unit))
    told = Reward(
        request_id=request_id,
        route=waiting.route,
        arm=waiting.arm,
        reward=reward,
        previous_reward=previous,
        revision=revision,
        cause=cause,
        propensity=waiting.propensity,
        epoch=waiting.epoch,
        seq=waiting.seq,
        context=waiting.context,
        predicted_at_ms=waiting.predicted_at_ms,
        labelled_at_ms=labelled_at_ms,
        attributed_at_ms=now_ms,
        counted_at_ms=None if before is None else counted_at_ms,
    )
    # No arguments above: beyond 15 of them CPython 3.11 takes 0.5 microseconds more for a call.
    if type(waiting) is not Waiting:
        told = structs.replace(told, unit_id=unit_of(waiting))
    return Settled(entry, told)
