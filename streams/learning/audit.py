"""The audit trail of one micro-batch: what was asked and decided, in the order of the fold.

Pure, like the steps that it listens to: the same records give the same events, however they are
cut. A step of the policy is none, nor is an alarm; both are on ``control``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from msgspec import UNSET, UnsetType, to_builtins
from msgspec.structs import replace

from leverframe.schemas.audit import OWN_ACTOR, AuditEvent, AuditKind, VerdictChange
from leverframe.schemas.causes import Coordinates
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import RecordError
from leverframe.schemas.evidence import ArmEvidence
from leverframe.streams.envelope import LATEST_MS, InputRecord
from leverframe.streams.learning.decision import arms_now
from leverframe.streams.learning.state import RouteState, state_digest
from leverframe.streams.routes.route import Route

__all__ = ["AuditTrail"]

_LONGEST_PARAMS: Final = 16 << 10
_LONGEST_DETAIL: Final = 1000
_BY_CAUSE: Final[Mapping[str, AuditKind]] = {
    "probation": "probation",
    "ramp": "ramp",
    "proposal": "proposal",
    "drift": "drift",
    "registered": "registered",
}
_decode_command = decoder(Command)


class Verdicts:
    """What the guard said of each arm before a decision, to tell what that changed.

    Told before what the decision led to, with the message that carried it.
    """

    def __init__(self, events: list[AuditEvent], state: RouteState) -> None:
        self._events, self._at = events, len(events)
        self._before = {name: arm.verdict for name, arm in state.arms.items()}
        self._changes: list[VerdictChange] = []

    def compare(self, state: RouteState, place: Coordinates | UnsetType) -> None:
        """Look at the verdicts that were written, before the decision is carried out."""
        self._changes = [
            VerdictChange(
                arm=name,
                before=self._before[name],
                verdict=arm.verdict,
                compared_with=arm.evidence.reference or UNSET,
                record=place,
            )
            for name, arm in state.arms.items()
            if self._before[name] != arm.verdict
        ]

    def tell(self, state: RouteState, route: Route, now_ms: int) -> None:
        """Add those that changed, with the state as it is once the decision is carried out."""
        if not self._changes:
            return
        arms, digest = arms_now(state, route, now_ms), state_digest(state)
        self._events[self._at : self._at] = [
            AuditEvent(
                route=state.route,
                event="verdict",
                actor=OWN_ACTOR,
                arm=change.arm,
                epoch=state.epoch,
                seq=state.seq,
                at_ms=now_ms,
                evidence=to_builtins(replace(change, arms=_both(change, arms))),
                state_digest=digest,
            )
            for change in self._changes
        ]


def _both(change: VerdictChange, arms: Mapping[str, ArmEvidence]) -> dict[str, ArmEvidence]:
    names = (change.arm, change.compared_with)
    return {name: arms[name] for name in names if isinstance(name, str) and name in arms}


class AuditTrail:
    """Adds to ``events`` what becomes of records and decisions.

    ``signed`` is the command in hand, if its actor's signature was found to be good.
    """

    def __init__(self, events: list[AuditEvent]) -> None:
        self.events = events
        self.signed: InputRecord | None = None

    def verdicts(self, state: RouteState) -> Verdicts:
        """Begin to look at what a decision makes of the verdicts."""
        return Verdicts(self.events, state)

    def note(self, message: ControlMessage) -> None:
        """Note what the job decided by itself, if it is worth it."""
        event = _kind_of(message)
        if event is None:
            return
        self.events.append(
            AuditEvent(
                route=message.route,
                event=event,
                actor=OWN_ACTOR,
                arm=message.cause.get("arm"),
                epoch=message.epoch,
                seq=message.seq,
                at_ms=message.issued_at_ms,
                evidence=message.cause,
                state_digest=message.state_digest,
            )
        )

    def done(self, command: Command, record: InputRecord, state: RouteState, route: Route) -> None:
        """Note a command that was carried out; the newest control message says what it did.

        But on a route without arms, of which nobody is told.
        """
        evidence = dict(state.cause) if state.arms else _place_of(record)
        arms = arms_now(state, route, record.timestamp)
        evidence["arms"] = {name: to_builtins(one) for name, one in arms.items()}
        self.events.append(
            AuditEvent(
                route=command.route,
                event="command",
                **self._told_of(command, record),
                arm=evidence.get("arm"),
                epoch=state.epoch,
                seq=state.seq,
                at_ms=record.timestamp,
                evidence=evidence,
                state_digest=state_digest(state),
            )
        )

    def refuse(
        self, record: InputRecord, error: RecordError, known: Callable[[str], RouteState | None]
    ) -> None:
        """Note a command that became a dead letter, if it can be read; the job's own are none."""
        if error.reason == "oversized" or record.value is None:
            return
        try:
            command = _decode_command(record.value)
        except DECODE_ERRORS:
            return
        if command.action == "decide":
            return
        state = known(command.route)
        self.events.append(
            AuditEvent(
                route=command.route,
                event="command",
                outcome="refused",
                **self._told_of(command, record),
                arm=command.arm,
                reason=error.reason,
                detail=error.detail[:_LONGEST_DETAIL],
                epoch=0 if state is None else state.epoch,
                seq=0 if state is None else state.seq,
                at_ms=min(max(0, record.timestamp), LATEST_MS),
                evidence=_place_of(record),
                state_digest="" if state is None else state_digest(state),
            )
        )

    def _told_of(self, command: Command, record: InputRecord) -> dict[str, Any]:
        is_cut = not _is_kept(command.params)
        return {
            "actor": command.actor,
            "signed": self.signed is record,
            "action": command.action,
            "command_id": command.command_id,
            "params": None if is_cut else command.params,
            "params_cut": is_cut,
        }


def _kind_of(message: ControlMessage) -> AuditKind | None:
    why = message.cause["why"]
    if why != "command" and message.kind in {"rollback", "promotion"}:
        return "rollback" if message.kind == "rollback" else "promotion"
    return _BY_CAUSE.get(why)


def _place_of(record: InputRecord) -> dict[str, Any]:
    return {"record": to_builtins(Coordinates(record.partition, record.offset))}


def _is_kept(params: dict[str, Any] | None) -> bool:
    """Whether they are small, and what every reader of JSON can read: no number beyond 64 bits."""
    try:
        return params is None or len(orjson.dumps(params)) <= _LONGEST_PARAMS
    except orjson.JSONEncodeError:
        return False
