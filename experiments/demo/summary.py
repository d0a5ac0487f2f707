"""What the demo measured, computed from what it saw."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from msgspec import Struct, to_builtins

from leverframe.experiments.demo.models import CHALLENGER, CHAMPION, Data, Model
from leverframe.experiments.demo.observer import Observer
from leverframe.experiments.demo.replica import row_of
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage

__all__ = ["Milestones", "Summary", "summarize", "write_results"]


class Milestones(Struct, kw_only=True):
    """When things happened, seconds since the demo began; None if they did not.

    Attributes
    ----------
    registered_s : float or None
        The challenger was registered.
    shifted_s : float or None
        A control message gave the challenger more than half of the traffic.
    broken_s : float or None
        The challenger's input was corrupted.
    broken_ms : int or None
        The same moment by the wall clock, ms since the epoch.
    rolled_back_s : float or None
        The rollback was seen by a subscriber.
    seen_ms : float or None
        The same moment by the wall clock, ms since the epoch.
    failure : str or None
        Why the story did not reach its end.
    """

    registered_s: float | None = None
    shifted_s: float | None = None
    broken_s: float | None = None
    broken_ms: int | None = None
    rolled_back_s: float | None = None
    seen_ms: float | None = None
    failure: str | None = None


class Summary(Struct, kw_only=True, frozen=True):
    """The figures of one demo.

    Attributes
    ----------
    shifted, rolled_back : bool
        Whether traffic really moved, and the arm was taken off after it was broken.
    failure : str or None
        Why the story did not reach its end.
    labels_until_shift : int or None
        Rewards of the route between registration and shift.
    seconds_until_shift : float or None
        The same, as time.
    labels_until_rollback : int or None
        Labels of answers that the challenger gave after the break, until the rollback.
    milliseconds_until_rollback : float or None
        From the break to the subscriber's callback; label delay included.
    labels_until_decision : int or None
        Requests that the challenger answered after the break, in shadow or not, up to the label
        that decided.
    proved_on_pairs : int or None
        Requests that it and the champion had both answered when it became champion.
    share_before_proof : float or None
        Its largest share of the traffic before that.
    decision_milliseconds : float or None
        From the record time of the deciding label to the subscriber's callback.
    rewards, mean_reward : int, float
        Of the whole run.
    static_mean_reward, gain_over_static : float
        Had the first champion answered the same requests; and the difference.
    health : dict
        Counts of the join at the end.
    """

    shifted: bool
    rolled_back: bool
    failure: str | None
    labels_until_shift: int | None
    seconds_until_shift: float | None
    labels_until_rollback: int | None
    labels_until_decision: int | None
    proved_on_pairs: int | None
    share_before_proof: float | None
    milliseconds_until_rollback: float | None
    decision_milliseconds: float | None
    rewards: int
    mean_reward: float
    static_mean_reward: float
    gain_over_static: float
    health: dict[str, int]


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else end_s - start_s


def summarize(
    observer: Observer,
    milestones: Milestones,
    data: Data,
    models: dict[str, Model],
) -> Summary:
    """Compute the figures."""
    scored = [(at, one) for at, one in observer.rewards if one.served and one.reward is not None]
    rows = [row_of(reward.request_id) for _, reward in scored]
    answers = np.asarray(models[CHAMPION].predict(data.features[rows])) if rows else np.zeros(0)
    static = int((answers == data.labels[rows]).sum())
    count = max(1, len(scored))
    mean = sum(reward.reward or 0.0 for _, reward in scored) / count
    rollback = _rollback_message(observer)
    proof = _proof(observer)
    until = _between(milestones.broken_s, milestones.rolled_back_s)
    return Summary(
        shifted=milestones.shifted_s is not None,
        rolled_back=milestones.rolled_back_s is not None,
        failure=milestones.failure,
        labels_until_shift=_labels_until_shift(observer, milestones),
        seconds_until_shift=_between(milestones.registered_s, milestones.shifted_s),
        labels_until_rollback=_broken_labels(observer, milestones),
        labels_until_decision=_deciding_labels(observer, milestones, rollback),
        proved_on_pairs=None if proof is None else proof[0],
        share_before_proof=None if proof is None else proof[1],
        milliseconds_until_rollback=None if until is None else until * 1000,
        decision_milliseconds=(
            None
            if rollback is None or milestones.seen_ms is None
            else milestones.seen_ms - rollback.issued_at_ms
        ),
        rewards=len(scored),
        mean_reward=mean,
        static_mean_reward=static / count,
        gain_over_static=mean - static / count,
        health=dict(observer.health),
    )


def _labels_until_shift(observer: Observer, milestones: Milestones) -> int | None:
    start_s, end_s = milestones.registered_s, milestones.shifted_s
    if start_s is None or end_s is None:
        return None
    return sum(start_s <= at <= end_s and one.served for at, one in observer.rewards)


def _broken_labels(observer: Observer, milestones: Milestones) -> int | None:
    broken_ms, end_s = milestones.broken_ms, milestones.rolled_back_s
    if broken_ms is None or end_s is None:
        return None
    return sum(
        at <= end_s and one.served and one.arm == CHALLENGER and one.predicted_at_ms >= broken_ms
        for at, one in observer.rewards
    )


def _deciding_labels(
    observer: Observer, milestones: Milestones, rollback: ControlMessage | None
) -> int | None:
    broken_ms = milestones.broken_ms
    record: dict[str, int] = {} if rollback is None else rollback.cause.get("record", {})
    if broken_ms is None or not record:
        return None
    return sum(
        offset <= record["offset"] and one.arm == CHALLENGER and one.predicted_at_ms >= broken_ms
        for offset, (_, one) in zip(observer.offsets, observer.rewards, strict=False)
    )


def _proof(observer: Observer) -> tuple[int, float] | None:
    """Pairs on which the challenger became champion, and its largest share before."""
    most = 0.0
    for _, message in observer.messages:
        cause = message.cause
        if cause.get("why") == "better" and cause.get("arm") == CHALLENGER and "pairs" in cause:
            return int(cause["pairs"]), most
        most = max(most, message.weights.get(CHALLENGER, 0.0))
    return None


def _rollback_message(observer: Observer) -> ControlMessage | None:
    for _, message in observer.messages:
        if message.kind == "rollback" and CHALLENGER in message.quarantined:
            return message
    return None


def write_results(folder: Path, observer: Observer, summary: Summary) -> None:
    """Write the summary and the control messages."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = to_builtins(summary)
    (folder / "summary.json").write_bytes(
        orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    lines = b"".join(encode(message) + b"\n" for _, message in observer.messages)
    (folder / "control.jsonl").write_bytes(lines)
