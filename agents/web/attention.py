"""What on a route an operator should look at, and how much it presses. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from leverframe.agents.operator.narrate import (
    CRITICAL_ALARMS,
    headline,
    proposal_text,
    ramp_text,
)
from leverframe.agents.web.history import RouteHistory
from leverframe.schemas.causes import cause_of
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.traffic import OVER_QUOTA_LATELY_MS

__all__ = ["Attention", "Level", "attention"]

_LATELY_MS: Final = 3_600_000
# Fewer would make the coverage of a route that has just begun look bad.
_ENOUGH_PREDICTIONS: Final = 100
_ENOUGH_DEFAULTS: Final = 1_000
_POOR_COVERAGE: Final = 0.05


class Level(IntEnum):
    """How much it presses; names are part of the interface."""

    fine = 0
    notice = 1
    warning = 2
    critical = 3


class Attention(NamedTuple):
    """A finding on a route.

    Attributes
    ----------
    level : Level
        How much it presses.
    text : str
        One sentence.
    """

    level: Level
    text: str


def attention(
    known: RouteHistory, now_ms: int, lost: Mapping[str, int] | None = None
) -> list[Attention]:
    """Say what needs a look, the most pressing first; ``lost`` counts records by topic."""
    beat = {} if known.beat is None else known.beat.cause
    found = [
        *_lost(lost or {}),
        *_silence(known.newest.ttl_ms, now_ms - known.heard_ms),
        *_alarms(beat),
        *_lately(known.rollback, now_ms, Level.warning, "rolled back"),
        *_arms(known.newest, known.newest_with_arms.cause.get("arms", {})),
        *_measured(known.newest, known.newest_with_arms.cause.get("arms", {})),
        *_held(beat),
        *_join(beat),
        *_types(beat),
        *_quota(beat, now_ms),
        *_lately(known.promotion, now_ms, Level.notice, "promoted"),
    ]
    return sorted(found, key=lambda one: -one.level)


def _lost(lost: Mapping[str, int]) -> list[Attention]:
    told = ", ".join(f"{count:,} of {topic}" for topic, count in lost.items() if count)
    if not told:
        return []
    text = f"records were lost to retention before this worker read them: {told}"
    return [Attention(Level.critical, text)]


def _silence(ttl_ms: int, silent_ms: int) -> list[Attention]:
    if silent_ms > ttl_ms:
        text = f"no heartbeat for {silent_ms // 1000} s: serving systems use the safe weights"
        return [Attention(Level.critical, text)]
    return []


def _alarms(beat: Mapping[str, Any]) -> list[Attention]:
    following = beat.get("following", {})
    found = [
        Attention(
            Level.critical if name in CRITICAL_ALARMS else Level.warning,
            headline(cause_of({"why": name, **evidence})),
        )
        for name, evidence in following.get("alarms", {}).items()
    ]
    behind = following.get("behind", [])
    if behind:
        text = f"{len(behind)} of {following.get('replicas', 0)} replicas are behind"
        found.append(Attention(Level.warning, text))
    return found


def _lately(
    message: ControlMessage | None, now_ms: int, level: Level, what: str
) -> list[Attention]:
    if message is None or now_ms - message.issued_at_ms > _LATELY_MS:
        return []
    arm = message.cause.get("arm", "an arm")
    minutes = max(0, now_ms - message.issued_at_ms) // 60_000
    when = "just now" if not minutes else f"{minutes} min ago"
    return [Attention(level, f"{arm} was {what} {when}")]


def _arms(message: ControlMessage, arms: Mapping[str, Any]) -> list[Attention]:
    found = []
    harmful = [name for name, known in arms.items() if known.get("verdict") == "harmful"]
    active = [name for name in harmful if message.weights.get(name, 0) > 0]
    if active:
        text = f"harmful and with traffic: {', '.join(active)}"
        found.append(Attention(Level.warning, text))
    if message.champion is not None:
        champion = arms.get(message.champion, {})
        if champion.get("verdict") == "no_data":
            text = f"no labels reach the champion {message.champion}"
            found.append(Attention(Level.warning, text))
    if message.quarantined:
        text = f"in quarantine: {', '.join(message.quarantined)}"
        found.append(Attention(Level.notice, text))
    return found


def _measured(message: ControlMessage, arms: Mapping[str, Any]) -> list[Attention]:
    """Arms with traffic that a metric proved to be worse than is tolerable."""
    found = []
    for name, known in arms.items():
        for metric, told in (known.get("metrics") or {}).items():
            if told.get("verdict") == "harmful" and message.weights.get(name, 0) > 0:
                is_signal = told.get("role") == "signal"
                level = Level.notice if is_signal else Level.warning
                found.append(Attention(level, f"{name} has traffic, and is worse by its {metric}"))
    return found


def _held(beat: Mapping[str, Any]) -> list[Attention]:
    found = []
    if probation := beat.get("probation"):
        text = f"on probation: {probation['arm']}, at most {probation['share']:.0%} of the traffic"
        found.append(Attention(Level.notice, text))
    if proposal := beat.get("proposal"):
        found.append(Attention(Level.warning, proposal_text(proposal)))
    if ramp := beat.get("ramp"):
        found.append(Attention(Level.notice, ramp_text(ramp)))
    if pinned := beat.get("pinned"):
        found.append(Attention(Level.notice, f"pinned to {pinned}: no guard, no policy"))
    if beat.get("frozen"):
        found.append(Attention(Level.notice, "frozen: weights do not move"))
    return found


def _join(beat: Mapping[str, Any]) -> list[Attention]:
    join = beat.get("joins", {})
    coverage = join.get("coverage")
    # No label may well be an answer there (no click); that none ever came is a sign all the same.
    if join.get("default_reward") is not None:
        if join.get("labelled") or join.get("revision") or join.get("expiry", 0) < _ENOUGH_DEFAULTS:
            return []
        return [Attention(Level.warning, f"none of {join['expiry']:,} predictions got a label")]
    if coverage is None or coverage >= _POOR_COVERAGE:
        return []
    if join.get("prediction", 0) < _ENOUGH_PREDICTIONS:
        return []
    return [Attention(Level.warning, f"only {coverage:.1%} of predictions got a label")]


def _types(beat: Mapping[str, Any]) -> list[Attention]:
    """Arms whose classes are of another type than the labels'; they are compared as text."""
    arms = [
        name
        for name, known in beat.get("arms", {}).items()
        if known.get("join", {}).get("unlike_types")
    ]
    if not arms:
        return []
    text = f"classes of {', '.join(arms)} and their labels differ in type (text and number)"
    return [Attention(Level.notice, text)]


def _quota(beat: Mapping[str, Any], now_ms: int) -> list[Attention]:
    join = beat.get("joins", {})
    newest_ms = join.get("over_quota_ms", 0)
    if not newest_ms or now_ms - newest_ms > OVER_QUOTA_LATELY_MS:
        return []
    many = f"{join.get('over_quota', 0):,} of {join.get('prediction', 0):,} requests"
    text = f"{many} were not counted, some of them lately: max_requests_per_s is too small"
    return [Attention(Level.warning, text)]
