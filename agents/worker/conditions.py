"""What lasts on each route since somebody was told of it, and when it is over. Pure.

Every heartbeat says all that is in force. What was opened and is not in the next one is over.
"""

from typing import Any, Final

from leverframe.agents.worker.notices import Notice
from leverframe.schemas.control import ControlMessage

__all__ = ["Conditions", "kind_of"]

_LASTS_FOR_EVER: Final = frozenset({"promotion"})


def kind_of(notice: Notice) -> str:
    """Return what a page is one of, on its route: the alarm's name, or else the event."""
    return str(notice.message.cause["why"]) if notice.event == "alarm" else notice.event


class Conditions:
    """The kinds of pages that are open, by route."""

    def __init__(self) -> None:
        self._opened: dict[str, set[str]] = {}

    def open(self, notice: Notice) -> None:
        """Note that somebody is told."""
        if notice.event not in _LASTS_FOR_EVER:
            self._opened.setdefault(notice.message.route, set()).add(kind_of(notice))

    def close(self, message: ControlMessage) -> list[str]:
        """Return the kinds that are over by a message, sorted."""
        opened = self._opened.get(message.route)
        if message.kind != "heartbeat" or not opened:
            return []
        over = opened - _in_force(message)
        self._opened[message.route] = opened - over
        return sorted(over)

    def recall(self, message: ControlMessage) -> None:
        """Take what a heartbeat of before says to be in force for what was told."""
        if message.kind == "heartbeat":
            self._opened[message.route] = set(_in_force(message))


def _in_force(heartbeat: ControlMessage) -> frozenset[str]:
    cause: dict[str, Any] = heartbeat.cause
    found = set(cause.get("following", {}).get("alarms", ()))
    found |= {kind for kind in ("ramp", "proposal", "probation") if cause.get(kind)}
    if heartbeat.quarantined:
        found.add("rollback")
    if cause.get("ramp", {}).get("waits_for"):
        found.add("ramp_held")
    return frozenset(found)
