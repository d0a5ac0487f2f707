"""What control messages told of each route, over a day, in bounded memory. Pure.

The last hour is kept finely, what is older at one point in five minutes. Changes (anything but a
heartbeat) are kept as marks, and the newest of them whole, so that they can be explained. With
very many routes less is kept of each (``agents/web/retention.py``).
"""

import math
from array import array
from collections import deque
from itertools import chain
from typing import Any, Final

from msgspec import Struct, field

from leverframe.agents.operator.explain import Explained, explain, sentences
from leverframe.agents.web.marks import Mark, mark_of
from leverframe.agents.web.retention import Retention, retention_for
from leverframe.schemas.control import ControlMessage
from leverframe.streams.topology import DAY_MS

__all__ = ["FIELDS", "History", "RouteHistory"]

_HOUR_MS: Final = 3_600_000
_MOST_ROUTES: Final = 10_000

FIELDS: Final = ("weight", "mean", "low", "high", "labels", "recent")
"""What a point holds of each arm."""


class _Point(Struct, frozen=True, gc=False):
    at_ms: int
    values: array  # type: ignore[type-arg]
    is_change: bool
    is_event: bool


def _stands_for(point: _Point, last: _Point, retention: Retention) -> bool:
    """Whether a heartbeat follows another one within the same few seconds."""
    if point.at_ms // retention.fine_ms != last.at_ms // retention.fine_ms:
        return False
    if retention.is_scarce:
        return not (point.is_event or last.is_event)
    return not (point.is_change or last.is_change)


def _trim(kept: deque[Any], most: int) -> None:
    while len(kept) > most:
        kept.popleft()


class RouteHistory(Struct):
    """One route.

    Attributes
    ----------
    newest : ControlMessage
        With the highest (epoch, seq).
    newest_with_arms : ControlMessage
        The newest one that tells of the arms.
    beat : ControlMessage or None
        The newest heartbeat: it alone tells of the join, of followers, and of what is held.
    heard_ms : int
        When the newest was written, ms since the epoch; decisions are issued by stream time.
    arms : list of str
        All that were seen; a point's values are in this order.
    """

    newest: ControlMessage
    newest_with_arms: ControlMessage
    beat: ControlMessage | None = None
    heard_ms: int = 0
    arms: list[str] = field(default_factory=list)
    fine: deque[_Point] = field(default_factory=deque)
    coarse: deque[_Point] = field(default_factory=deque)
    marks: deque[Mark] = field(default_factory=deque)
    changes: deque[ControlMessage] = field(default_factory=deque)
    rollback: ControlMessage | None = None
    promotion: ControlMessage | None = None

    def note(self, message: ControlMessage, heard_ms: int, retention: Retention) -> bool:
        """Take in a message.

        False where it is not newer than what is known.
        """
        version = (message.epoch, message.seq)
        is_first = self.newest is message
        if not is_first and version <= (self.newest.epoch, self.newest.seq):
            return False
        before, self.newest = self.newest, message
        self.heard_ms = max(self.heard_ms, heard_ms)
        if message.cause.get("arms"):
            self.newest_with_arms = message
        if message.kind == "heartbeat":
            self.beat = message
        if message.kind != "heartbeat":
            self._change(message)
        elif is_first or message.epoch > before.epoch:
            self._missed(message)
        _trim(self.marks, retention.marks)
        _trim(self.changes, retention.whole)
        self._append(message, retention)
        return True

    def _change(self, message: ControlMessage) -> None:
        self.changes.append(message)
        if message.kind == "rollback":
            self.rollback = message
        elif message.kind == "promotion":
            self.promotion = message
        self._mark(message, message.cause)

    def _missed(self, message: ControlMessage) -> None:
        """A change was compacted away, or lies before what was read: its cause is still told."""
        cause = message.cause.get("last_change", {})
        if cause:
            self._mark(message, cause)

    def _mark(self, message: ControlMessage, cause: dict[str, Any]) -> None:
        last = self.marks[-1] if self.marks else None
        mark = mark_of(message, cause, last)
        if mark.times > 1:
            self.marks.pop()
        self.marks.append(mark)

    def _append(self, message: ControlMessage, retention: Retention) -> None:
        arms = self.arms
        arms += [name for name in message.weights if name not in arms]
        # A command says nothing of the arms: what was known of them holds.
        known = self.newest_with_arms.cause.get("arms", {})
        values = array("f")
        for name in arms:
            values.extend(_values(message.weights.get(name), known.get(name)))
        is_change = message.kind != "heartbeat"
        is_event = is_change and message.cause.get("why") != "policy"
        fine = self.fine
        # Decisions go by stream time, heartbeats by the clock: the chart's time never goes back.
        at_ms = max(message.issued_at_ms, fine[-1].at_ms if fine else 0)
        point = _Point(at_ms, values, is_change, is_event)
        if fine and _stands_for(point, fine[-1], retention):
            fine[-1] = point
        else:
            fine.append(point)
        self._thin(point.at_ms, retention)

    def _thin(self, now_ms: int, retention: Retention) -> None:
        fine, coarse = self.fine, self.coarse
        while fine and (fine[0].at_ms < now_ms - _HOUR_MS or len(fine) > retention.fine_points):
            old, slot = fine.popleft(), retention.coarse_ms
            is_new = not coarse or coarse[-1].at_ms // slot != old.at_ms // slot
            if is_new or old.is_event:
                coarse.append(old)
        _trim(coarse, retention.coarse_points)
        while coarse and coarse[0].at_ms < now_ms - DAY_MS:
            coarse.popleft()

    @property
    def newest_ms(self) -> int:
        """Time of the newest point, ms since the epoch."""
        return self.fine[-1].at_ms

    def columns(self, since_ms: int) -> dict[str, Any]:
        """Return the points as columns.

        ``at_ms``, ``arms``, and each of ``FIELDS`` as one list for each arm; None where it was not
        known.
        """
        points = [p for p in chain(self.coarse, self.fine) if p.at_ms >= since_ms]
        width = len(FIELDS)
        columns: dict[str, Any] = {"at_ms": [p.at_ms for p in points], "arms": self.arms}
        for offset, name in enumerate(FIELDS):
            columns[name] = [
                [_value_at(p.values, at * width + offset) for p in points]
                for at in range(len(self.arms))
            ]
        return columns

    def explained(self, until_ms: int | None, last: int) -> list[tuple[Explained, list[str]]]:
        """Explain the newest changes that are still known whole."""
        return [
            (change, list(sentences(change)))
            for change in explain(list(self.changes), until_ms, last)
        ]


class History:
    """All routes."""

    def __init__(self) -> None:
        self.routes: dict[str, RouteHistory] = {}

    def note(self, message: ControlMessage, heard_ms: int | None = None) -> bool:
        """Take in a message.

        False where it says nothing new, or there are too many routes.
        """
        known = self.routes.get(message.route)
        if known is None:
            if len(self.routes) >= _MOST_ROUTES:
                return False
            known = self.routes[message.route] = RouteHistory(message, message)
        heard_ms = message.issued_at_ms if heard_ms is None else heard_ms
        return known.note(message, heard_ms, retention_for(len(self.routes)))


def _values(weight: float | None, known: dict[str, Any] | None) -> tuple[float, ...]:
    nan = math.nan
    if weight is None:
        return (nan,) * len(FIELDS)
    if not known:
        return (weight, nan, nan, nan, nan, nan)
    mean, (low, high) = known.get("mean"), known.get("bounds", (nan, nan))
    if mean is None:
        return (weight, nan, nan, nan, known.get("labels", 0), nan)
    recent = known.get("recent", {}).get("mean", nan)
    return (weight, mean, low, high, known.get("labels", nan), recent)


def _value_at(values: Any, at: int) -> float | None:
    if at >= len(values) or math.isnan(values[at]):
        return None
    return float(f"{values[at]:.5g}")
