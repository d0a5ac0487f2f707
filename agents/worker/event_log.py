"""What the job writes into its log of its own work: what was decided, and what was set aside."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from leverframe.agents.operator.narrate import why
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.traffic import OVER_QUOTA
from leverframe.streams.runtime.logger import make_logger

__all__ = ["DeadLetterLog", "QuotaLog", "log_decisions"]

log = make_logger()

_EVERY_S: Final = 10.0


class DeadLetterLog:
    """One line for many dead letters: a flood of poison is no flood of lines.

    ``counts`` has all since the start of the process, by reason. ``now_s`` never jumps.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._written_s = -math.inf
        self._waiting = 0
        self._newest: DeadLetter | None = None
        self.counts: Counter[str] = Counter()

    def note(self, letters: Sequence[DeadLetter]) -> None:
        """Count those of one transaction, and write of them if it is time."""
        if letters:
            self.counts.update(letter.reason for letter in letters)
            self._waiting += len(letters)
            self._newest = letters[-1]
        self.write_if_due()

    def write_if_due(self) -> None:
        """Write of the newest, and how many there were, at most each ten seconds."""
        newest, now_s = self._newest, self._now_s()
        if newest is None or now_s - self._written_s < _EVERY_S:
            return
        log.warning(
            "dead_letters",
            message=f"{self._waiting} dead letters, the newest: {newest.topic}-{newest.partition} "
            f"at {newest.offset}, {newest.reason}: {newest.detail}",
            count=self._waiting,
            reason=newest.reason,
            topic=newest.topic,
            partition=newest.partition,
            offset=newest.offset,
            request=_shown(newest.key),
        )
        self._written_s, self._waiting, self._newest = now_s, 0, None


class QuotaLog:
    """One line for many requests beyond their route's quota. ``now_s`` never jumps."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._written_s = -math.inf
        self._waiting: Counter[str] = Counter()

    def note(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Add what one micro-batch counted, and write of it if it is time."""
        for (what, route, _), count in counts.items():
            if what == OVER_QUOTA and count:
                self._waiting[route] += count
        self.write_if_due()

    def write_if_due(self) -> None:
        """Write of each route, at most each ten seconds."""
        now_s = self._now_s()
        if not self._waiting or now_s - self._written_s < _EVERY_S:
            return
        for route, count in self._waiting.items():
            log.warning(
                "over_quota",
                message=f"{route}: {count} requests beyond its max_requests_per_s were not counted;"
                " raise it, or send the route less",
                route=route,
                count=count,
            )
        self._written_s = now_s
        self._waiting.clear()


def _shown(key: bytes | None) -> str | None:
    return None if key is None else key[:200].decode("utf-8", "replace")


def log_decisions(messages: Iterable[ControlMessage], partition: int) -> None:
    """Log what changed a route, but not each step of a policy."""
    for message in messages:
        reason = message.cause.get("why")
        if message.kind == "heartbeat" or reason == "policy":
            continue
        log.info(
            f"decided_{message.kind}",  # noqa: G004 - the name of an event, not its text
            message=f"{message.route}: {message.kind} {message.epoch}.{message.seq}: "
            f"{why(message)}",
            route=message.route,
            partition=partition,
            epoch=message.epoch,
            seq=message.seq,
            why=reason,
            arm=message.cause.get("arm"),
        )
