"""Why a route's weights are what they are: from recorded control messages to sentences. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from leverframe.agents.operator.beforehand import prior_lines
from leverframe.agents.operator.deciding import is_by_reward
from leverframe.agents.operator.in_measured import measured_lines
from leverframe.agents.operator.in_shadow import shadow_lines
from leverframe.agents.operator.narrate import why
from leverframe.schemas.control import ControlMessage

__all__ = ["Explained", "explain", "sentences"]

_NOTICED: Final = 0.0005


class Explained(Struct, frozen=True, kw_only=True):
    """A message that changed weights or arms, and what it changed.

    Attributes
    ----------
    message : ControlMessage
        As it was published.
    moved : dict of str to (float or None, float or None)
        By arm, the weight before and after; None where the arm was not there.
    is_first : bool
        Whether no earlier message of the route is left to compare with.
    """

    message: ControlMessage
    moved: dict[str, tuple[float | None, float | None]]
    is_first: bool


def explain(messages: Sequence[ControlMessage], until_ms: int | None, last: int) -> list[Explained]:
    """Find the newest changes of one route, oldest first; heartbeats among them are left out.

    Only what was issued up to ``until_ms``, and at most ``last`` of them.
    """
    changes = sorted(
        (message for message in messages if message.kind != "heartbeat"),
        key=lambda message: (message.epoch, message.seq),
    )
    if until_ms is not None:
        changes = [message for message in changes if message.issued_at_ms <= until_ms]
    begin = max(0, len(changes) - last)
    return [
        Explained(
            message=changes[at],
            moved=_moved(changes[at - 1].weights if at else {}, changes[at].weights),
            is_first=at == 0,
        )
        for at in range(begin, len(changes))
    ]


def _moved(
    before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, tuple[float | None, float | None]]:
    return {
        arm: (before.get(arm), after.get(arm))
        for arm in [*after, *(arm for arm in before if arm not in after)]
        if arm not in before or arm not in after or abs(after[arm] - before[arm]) > _NOTICED
    }


def sentences(change: Explained) -> Iterator[str]:
    """Yield what a message changed, and why: what happened, then the evidence, a line each."""
    message = change.message
    at = datetime.fromtimestamp(message.issued_at_ms / 1000, tz=UTC)
    version = f"{message.epoch}.{message.seq}"
    yield f"{at:%Y-%m-%d %H:%M:%S} UTC, {message.kind} {version}: {why(message)}"
    if change.is_first:
        shares = ", ".join(f"{arm} {share:.3f}" for arm, share in message.weights.items())
        yield f"  weights since then: {shares} (no earlier message is left to compare with)"
    for arm, (before, after) in {} if change.is_first else change.moved.items():
        yield f"  {arm} {_move(before, after)}{_evidence(message.cause, arm)}"
    if not change.is_first and not change.moved:
        yield "  no weight moved"
    arms = message.cause.get("arms", {})
    for line in [*shadow_lines(arms), *prior_lines(arms), *measured_lines(arms)]:
        yield f"  {line}"
    if record := message.cause.get("record"):
        yield (
            f"  after the record at partition {record['partition']}, offset {record['offset']}; "
            f"to recompute: leverframe replay {message.route} {_up_to(message, record)}"
        )


def _up_to(message: ControlMessage, record: Mapping[str, Any]) -> str:
    """Commands and traffic are placed by time; a reward's own offset is exact."""
    if not is_by_reward(message.cause):
        return f"--until {message.issued_at_ms}"
    return f"--until-reward {record['offset']}{' --and-decide' if record.get('burst') else ''}"


def _move(before: float | None, after: float | None) -> str:
    if before is None:
        return f"joined with {after:.3f}"
    if after is None:
        return f"left, it had {before:.3f}"
    return f"{'rose' if after > before else 'fell'} from {before:.3f} to {after:.3f}"


def _evidence(cause: Mapping[str, Any], arm: str) -> str:
    """What is known of an arm: first since its rewards changed, then in all its life."""
    since = _since_the_change(cause, arm)
    known = cause.get("arms", {}).get(arm)
    if not known or known["mean"] is None:
        return since and f": {since}"
    low, high = known["bounds"]
    tail = f"between {low:.3f} and {high:.3f}, {known['verdict']}"
    recent = known.get("recent")
    if not since and recent and recent["labels"] < known["labels"]:
        begun = datetime.fromtimestamp(recent["since_ms"] / 1000, tz=UTC)
        since = f"{_mean_of(recent)} newest labels (since {begun:%H:%M:%S})"
    if since:
        return f": {since}; {_mean_of(known)} in its life, {tail}"
    return f": {_mean_of(known)} labels, {tail}"


def _since_the_change(cause: Mapping[str, Any], arm: str) -> str:
    """The part of the evidence that made the job act on an arm, where its cause tells it."""
    is_own = cause.get("arm") == arm
    if cause.get("why") == "guard":
        if is_own and cause.get("mean") is not None:
            return f"{_mean_of(cause)} labels since it began to look bad"
        if cause.get("compared_with") == arm and cause.get("reference_mean") is not None:
            told = {"mean": cause["reference_mean"], "labels": cause["reference_labels"]}
            return f"{_mean_of(told)} labels meanwhile"
    if cause.get("why") == "metric" and is_own:
        return f"{cause['metric']} of {cause['requests']:,} requests convicted it"
    if cause.get("why") == "probation" and is_own and cause.get("mean") is not None:
        return f"{_mean_of(cause)} labels since it fell"
    if cause.get("why") == "drift" and is_own:
        return f"mean {cause['mean_after']:.3f} since the change, {cause['mean_before']:.3f} before"
    return ""


def _mean_of(told: Mapping[str, Any]) -> str:
    return f"mean {told['mean']:.3f} of {told['labels']:,}"
