"""The loop of one actuator: read, step, write, read back, acknowledge."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from leverframe.agents.actuate.place import Context, Place, Seen, Trouble
from leverframe.agents.actuate.settings import ActuatorSettings
from leverframe.agents.actuate.shares import apportion
from leverframe.agents.actuate.wanted import Wanted, wanted_of
from leverframe.agents.actuate.warm_up import Rises, next_shares
from leverframe.schemas.control import ControlMessage
from leverframe.serving.routing import InForce
from leverframe.streams.runtime.logger import make_logger

__all__ = ["Actuator", "Status"]

log = make_logger(__name__)

_PENDING_S: Final = 0.5
_MOVED_S: Final = 0.2
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_AGAIN_S: Final = 60.0
# A writer that is often met in between is told like any other trouble, and so is a gateway that
# takes longer than this.
_MOVED_TIMES: Final = 5
_PATIENCE_S: Final = 30.0


class Status(Struct):
    """What is known of an actuator, for metrics, readiness and exit code.

    Attributes
    ----------
    shares, target : mapping of str to int
        What was read, or written where nothing can be read; what is wanted.
    is_in_force : bool
        Whether what is wanted was read back, or written where nothing can be read.
    trouble : str
        Why it is not, in a sentence; empty where nothing is wrong.
    kind : str
        Of the trouble.
    failures : int
        Tries in a row that failed.
    counts : Counter
        Of ``written``, ``drifted``, ``acknowledged`` and each kind of trouble.
    """

    shares: Mapping[str, int] = field(default_factory=dict)
    target: Mapping[str, int] = field(default_factory=dict)
    is_in_force: bool = False
    trouble: str = "nothing was read yet"
    kind: str = "unread"
    failures: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class Actuator:
    """Lets one place follow one route.

    Parameters
    ----------
    name : str
        Of its section.
    settings : ActuatorSettings
        The section.
    place : Place
        Where traffic is split.
    acknowledge : callable, optional
        Takes a message whose weights were read back; without it nothing is written (dry run).
    show : callable
        Takes lines that say what would be written, in a dry run.
    clock_s : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        settings: ActuatorSettings,
        place: Place,
        acknowledge: Callable[[ControlMessage], None] | None,
        show: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.route = settings.route or name
        self.place = place
        self.status = Status()
        self._settings = settings
        self._acknowledge = acknowledge
        self._show = show
        self._clock_s = clock_s
        how = settings.warm_up
        step, warm_from = (round(share * place.total) for share in (how.step, how.warm_from))
        self._rises = Rises(max(1, step), how.every_s, warm_from)
        self._state: InForce | None = None
        self._heard = asyncio.Event()
        self._written: Mapping[str, int] | None = None
        self._shown: list[str] = []
        self._told_s = -_AGAIN_S
        self._not_before_s = 0.0
        self._moved = 0
        self._pending_s: float | None = None
        self._acknowledged: tuple[int, int] | None = None

    def hear(self, state: InForce, *, is_news: bool) -> None:
        """Take what holds for the route; ``is_news``: look at once."""
        self._state = state
        if is_news:
            self._heard.set()

    async def follow(self) -> None:
        """Follow for ever."""
        while True:
            self._heard.clear()
            wait_s = await self.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), wait_s)
            await asyncio.sleep(max(0.0, self._not_before_s - self._clock_s()))

    async def turn(self) -> float:
        """Look once, and do what is to be done; return the seconds until the next look."""
        state = self._state
        try:
            if state is None:
                return self._failed(self._unheard())
            return await self._pursue(state)
        except Trouble as trouble:
            return self._failed(trouble)
        except Exception as error:
            log.exception("actuator_failed", message=f"{self.name}: unexpected", actuator=self.name)
            return self._failed(Trouble("unexpected", f"{error!r:.200}; trying again"))

    def _unheard(self) -> Trouble:
        return Trouble(
            "unheard",
            f"nothing was heard of route {self.route!r} on control yet: correct route, or wait for "
            "its first prediction",
        )

    async def _pursue(self, state: InForce) -> float:
        """Bring the place nearer to what holds for the route."""
        seen = await self._present(state)
        wanted = wanted_of(state, seen.shares, self.place.total)
        self.status.target = wanted.shares
        now_s = self._clock_s()
        self._rises.note(seen.shares, now_s)
        if not wanted.shares:
            raise Trouble("unfit", "; ".join(wanted.faults))
        able = self._rises.able(now_s)
        shares = next_shares(seen.shares, wanted.shares, wanted.broken, able)
        self._note_others(seen, shares)
        if not self._agree(seen.shares, shares):
            seen = await self._write(shares, seen, state)
        return self._arrived(state, wanted, seen)

    async def _present(self, state: InForce) -> Seen:
        """What holds; where it cannot be read what was written, before that the safe weights."""
        if self.place.is_readable:
            seen = await self.place.read()
        elif self._written is not None:
            seen = Seen(self._written)
        else:
            safe = state.message.safe_weights
            known = {arm: safe.get(arm, 0.0) for arm in self._settings.arms}
            seen = Seen(apportion(known, self.place.total) or dict.fromkeys(known, 0))
            if self._acknowledge is not None:
                # Whether that holds nobody knows: it is written, too.
                seen = await self._write(seen.shares, seen, state)
        self.status.shares = seen.shares
        return seen

    async def _write(self, shares: Mapping[str, int], seen: Seen, state: InForce) -> Seen:
        message = state.message
        context = Context(message.route, message.epoch, message.seq, message.kind)
        said = f"{self._readable(shares)} (now {self._readable(seen.shares)})"
        if self._acknowledge is None:
            lines = self.place.preview(shares, seen, context)
            head = f"{self.name}: would write to {self.place.name}: {said}"
            if self._shown != [head, *lines]:
                self._shown = [head, *lines]
                self._show("\n  ".join(self._shown))
            return seen
        await self.place.write(shares, seen, context)
        self._written = shares
        self.status.counts["written"] += 1
        log.info(
            "actuator_wrote",
            message=f"{self.name}: {self.place.name} gets {said}",
            actuator=self.name,
            route=self.route,
            epoch=message.epoch,
            seq=message.seq,
        )
        if not self.place.is_readable:
            self._rises.note(shares, self._clock_s())
            return Seen(shares)
        found = await self.place.read()
        self._rises.note(found.shares, self._clock_s())
        if not self._agree(found.shares, shares):
            raise Trouble(
                "drifted",
                f"{self._readable(shares)} was written to {self.place.name}, and "
                f"{self._readable(found.shares)} is read back{_by(found.others)}: find the other "
                "writer, or what changes it on its way",
            )
        return found

    def _arrived(self, state: InForce, wanted: Wanted, seen: Seen) -> float:
        """Take note of how far we are; acknowledge what was read back, and nothing else."""
        status = self.status
        status.shares = seen.shares
        is_there = self._agree(seen.shares, wanted.shares)
        faults = [*wanted.faults, *seen.faults]
        status.is_in_force = is_there and not faults and not seen.pending
        waits = [self._settings.check_s]
        if faults:
            waits.append(self._failed(Trouble("unfit", "; ".join(faults))))
        elif seen.pending:
            waits.append(self._wait_for(seen.pending))
        else:
            self._recovered("" if is_there else "warming", "" if is_there else "warming up")
        if status.is_in_force and self.place.is_readable and not state.is_fallback:
            self._say_so(state.message)
        left_s = self._rises.wait_s(self._clock_s())
        if not is_there and left_s is not None:
            waits.append(left_s)
        return min(waits)

    def _wait_for(self, pending: str) -> float:
        """Be patient with what is written and not in force; return how long to wait."""
        now_s = self._clock_s()
        if self._pending_s is None:
            self._pending_s = now_s
        if now_s - self._pending_s >= _PATIENCE_S:
            return self._failed(
                Trouble("pending", f"{pending}, for over {_PATIENCE_S:g} s: look there")
            )
        self._recovered("pending", pending)
        return _PENDING_S

    def _say_so(self, message: ControlMessage) -> None:
        version = message.epoch, message.seq
        if self._acknowledge is not None and version != self._acknowledged:
            self._acknowledged = version
            self._acknowledge(message)
            self.status.counts["acknowledged"] += 1

    def _note_others(self, seen: Seen, shares: Mapping[str, int]) -> None:
        """Notice that somebody else has changed what we wrote."""
        before = self._written
        if before is None or seen.others == () or not self.place.is_readable:
            return
        if self._agree(seen.shares, before) or self._agree(seen.shares, shares):
            return
        self._written = seen.shares  # told once
        self.status.counts["drifted"] += 1
        log.warning(
            "actuator_drifted",
            message=f"{self.name}: {self.place.name} held {self._readable(before)} and now holds "
            f"{self._readable(seen.shares)}{_by(seen.others)}; writing again",
            actuator=self.name,
            others=list(seen.others or ()),
        )

    def _failed(self, trouble: Trouble) -> float:
        """Tell of it, at once and then once a minute; return how long to wait."""
        status = self.status
        self._moved += trouble.kind == "moved"
        if trouble.kind == "moved" and self._moved < _MOVED_TIMES:
            status.counts["moved"] += 1
            return _MOVED_S
        is_new = (status.kind, status.trouble) != (trouble.kind, str(trouble))
        status.kind, status.trouble = trouble.kind, str(trouble)
        status.is_in_force = False
        status.failures += 1
        status.counts[trouble.kind] += 1
        now_s = self._clock_s()
        if trouble.retry_after_s is not None:
            self._not_before_s = now_s + trouble.retry_after_s
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(status.failures - 1, 10))
        if is_new or now_s - self._told_s >= _AGAIN_S:
            self._told_s = now_s
            log.warning(
                "actuator_failing",
                message=f"{self.name}: {trouble}",
                actuator=self.name,
                route=self.route,
                kind=trouble.kind,
            )
        return wait_s

    def _recovered(self, kind: str, text: str) -> None:
        if self.status.failures:
            log.info(
                "actuator_recovered",
                message=f"{self.name}: {self.place.name} answers again",
                actuator=self.name,
            )
        self.status.kind, self.status.trouble, self.status.failures = kind, text, 0
        self._moved = 0
        if kind != "pending":
            self._pending_s = None

    def _agree(self, one: Mapping[str, int], other: Mapping[str, int]) -> bool:
        arms = {*one, *other}
        pairs = [(one.get(arm, 0), other.get(arm, 0)) for arm in arms]
        # Nothing is nothing, whatever is tolerated: a broken arm must not keep a little.
        return all(
            abs(share - wanted) <= self.place.tolerance and bool(share) == bool(wanted)
            for share, wanted in pairs
        )

    def _readable(self, shares: Mapping[str, int]) -> str:
        total = self.place.total
        return ", ".join(
            f"{arm} {100 * share / total:g} %" for arm, share in sorted(shares.items())
        )


def _by(others: tuple[str, ...] | None) -> str:
    return f", by {', '.join(others)}" if others else ""
