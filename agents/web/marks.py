"""What happened on a route, as marks on its time line. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from leverframe.agents.operator.narrate import headline
from leverframe.schemas.causes import ALARMS, cause_of
from leverframe.schemas.control import ControlMessage

__all__ = ["Mark", "mark_of"]


class Mark(Struct, frozen=True):
    """A change of a route.

    Attributes
    ----------
    at_ms : int
        Issued at, ms since the epoch.
    epoch, seq : int
        Of its message.
    kind : str
        ``rollback``, ``promotion``, ``command``, ``registered``, ``drift``, ``probation``,
        ``ramp``, ``proposal``, ``alarm`` or ``shift``.
    text : str
        What happened, in a few words.
    since_ms, times : int
        Of the first of several shifts in a row, and how many they are.
    """

    at_ms: int
    epoch: int
    seq: int
    kind: str
    text: str
    since_ms: int
    times: int


def mark_of(message: ControlMessage, cause: Mapping[str, Any], last: Mark | None) -> Mark:
    """Return the mark of a change; several shifts of a policy in a row are one that grows.

    ``cause`` is the message's own, or the one of the change that a heartbeat still tells of. With
    ``times`` above 1 the mark takes the place of the route's newest, ``last``.
    """
    kind, since_ms, times = _kind(message.kind, cause), message.issued_at_ms, 1
    if last is not None and kind == last.kind == "shift":
        since_ms, times = last.since_ms, last.times + 1
    return Mark(
        at_ms=message.issued_at_ms,
        epoch=message.epoch,
        seq=message.seq,
        kind=kind,
        text=headline(cause_of(cause)),
        since_ms=since_ms,
        times=times,
    )


def _kind(kind: str, cause: Mapping[str, Any]) -> str:
    why = cause.get("why")
    if kind in {"rollback", "promotion"}:
        return kind
    if why in {"guard", "metric", "better"}:
        return "promotion" if why == "better" else "rollback"
    if why in {"command", "registered", "drift", "probation", "ramp", "proposal"}:
        return str(why)
    return "alarm" if why in ALARMS else "shift"
