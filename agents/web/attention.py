"""What on a route an operator should look at, and how much it presses. Pure."""

from enum import IntEnum
from typing import Final, NamedTuple

from schemas.control import ControlMessage

__all__ = ["ALARMS", "Attention", "Level", "attention"]

_LATELY_MS: Final = 3_600_000
# Fewer would make the coverage of a route that has just begun look bad.
_ENOUGH_PREDICTIONS: Final = 100
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
    message: ControlMessage,
    now_ms: int,
    rollback: ControlMessage | None,
    promotion: ControlMessage | None,
) -> list[Attention]:
    """Say what needs a look, the most pressing first.

    Parameters
    ----------
    message : ControlMessage
        The newest of the route; a heartbeat says the most.
    now_ms : int
        Wall time, ms since the epoch.
    rollback : ControlMessage, optional
        The newest of its kind.
    promotion : ControlMessage, optional
        The newest of its kind.

    Returns
    -------
    list of Attention
        Empty when all is well.
    """
    found = [
        *_silence(message, now_ms),
        *_alarms(message),
        *_lately(rollback, now_ms, Level.warning, "rolled back"),
        *_arms(message),
        *_held(message),
        *_join(message),
        *_lately(promotion, now_ms, Level.notice, "promoted"),
    ]
    return sorted(found, key=lambda one: -one.level)


def _silence(message: ControlMessage, now_ms: int) -> list[Attention]:
    silent_ms = now_ms - message.issued_at_ms
    if message.kind == "heartbeat" and silent_ms > message.ttl_ms:
        text = f"no heartbeat for {silent_ms // 1000} s: serving systems use the safe weights"
        return [Attention(Level.critical, text)]
    return []


ALARMS: Final = {
    "rollback_not_effective": (Level.critical, "an arm that was rolled back still answers"),
    "weights_not_followed": (Level.warning, "arms do not answer in the published shares"),
    "suspected_partitioner_mismatch": (
        Level.warning,
        "predictions and labels do not meet: leverframe doctor",
    ),
}
"""By name in the cause: how much each presses, and what it says."""


def _alarms(message: ControlMessage) -> list[Attention]:
    following = message.cause.get("following", {})
    found = [
        Attention(*ALARMS.get(name, (Level.warning, str(name))))
        for name in following.get("alarms", {})
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


def _arms(message: ControlMessage) -> list[Attention]:
    arms = message.cause.get("arms", {})
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


def _held(message: ControlMessage) -> list[Attention]:
    found = []
    if pinned := message.cause.get("pinned"):
        found.append(Attention(Level.notice, f"pinned to {pinned}: no guard, no policy"))
    if message.cause.get("frozen"):
        found.append(Attention(Level.notice, "frozen: weights do not move"))
    return found


def _join(message: ControlMessage) -> list[Attention]:
    join = message.cause.get("joins", {})
    coverage = join.get("coverage")
    if coverage is None or coverage >= _POOR_COVERAGE:
        return []
    if join.get("prediction", 0) < _ENOUGH_PREDICTIONS:
        return []
    return [Attention(Level.warning, f"only {coverage:.1%} of predictions got a label")]
