"""Counting anew: what of a route lives on when its statistics are given up, and the mark of it.

A person who starts anew gives up what was counted, not what was decided: arms keep their phase, so
one that was rolled back stays without traffic; pins, freezes, policies and known commands stay. The
epoch goes above the newest on ``control``, since subscribers ignore anything else.

The mark is a record on ``rewards`` that no route has for a key. What lies before it was counted
into statistics that are gone: readers begin after it, with the states that it carries.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.arm import ArmPhase, ArmState
from leverframe.streams.learning.state import RouteState, decode_route, encode_route

__all__ = [
    "RESTART_KEY",
    "Restart",
    "carry_over",
    "encode_restart",
    "is_restart",
    "move_over",
    "states_at_begin",
]

RESTART_KEY: Final = b"\x00restart"


class _Record(Protocol):
    key: bytes | None
    value: bytes | None


class Restart(Struct, frozen=True, kw_only=True):
    """The mark on ``rewards``: its value, as JSON.

    Attributes
    ----------
    restarted_at_ms : int
        Ms since the epoch.
    counted_from : str
        As the person said: ``beginning``, ``now`` or a time.
    application : str
        The [app] id that counts from here on.
    states : dict of str to bytes
        With which each route of the partition begins, as the ledger keeps it.
    """

    restarted_at_ms: int
    counted_from: str
    application: str
    states: dict[str, bytes]


def is_restart(record: _Record) -> bool:
    """Whether a record of ``rewards`` is the mark, and no reward."""
    return record.key == RESTART_KEY


def encode_restart(states: Mapping[str, RouteState], **said: Any) -> bytes:
    """Return the value of the mark; ``said`` are its other fields."""
    raw = {name: encode_route(state) for name, state in states.items()}
    return msgspec.json.encode(Restart(states=raw, **said))


def _decode(value: bytes) -> dict[str, RouteState]:
    """Return the states that a mark carries; ``LeverframeError`` if it cannot be read."""
    try:
        raw = msgspec.json.decode(value, type=Restart).states
        return {name: decode_route(state) for name, state in raw.items()}
    except msgspec.MsgspecError as error:
        raise LeverframeError(f"a mark of a restart on rewards cannot be read: {error}") from error


def states_at_begin(records: Sequence[_Record]) -> dict[str, RouteState]:
    """Return the states with which recorded records begin: none, or those of their mark."""
    first = records[0] if records else None
    if first is None or not is_restart(first) or first.value is None:
        return {}
    return _decode(first.value)


def carry_over(
    known: RouteState | None, newest: ControlMessage | None, now_ms: int
) -> RouteState | None:
    """Return the state with which a route begins anew; None where nothing is known of it.

    ``known`` is what the ledger has, ``newest`` the newest message on ``control``; either may be
    missing, and the one that was published later says what is in force.
    """
    if newest is not None and (known is None or _is_later(newest, known)):
        state = _from_message(newest, known, now_ms)
    elif known is not None:
        state = _from_ledger(known)
    else:
        return None
    for one in (known, newest):
        if one is not None:
            state.epoch, state.seq = max(state.epoch, one.epoch), max(state.seq, one.seq)
    state.epoch += 1
    return state


def move_over(known: RouteState, newest: ControlMessage | None, now_ms: int) -> RouteState:
    """Return a state that was kept elsewhere, as it goes on here: with all that it counted.

    Where ``newest``, of ``control`` here, was published later than the state, what it decided
    holds. The epoch goes above both.
    """
    after = carry_over(known, newest, now_ms)
    if after is None:
        return known
    for name, arm in after.arms.items():
        counted = known.arms.setdefault(name, arm)
        counted.phase = arm.phase
    for decided in ("champion", "weights", "target", "pinned", "frozen", "last_known_good"):
        setattr(known, decided, getattr(after, decided))
    known.epoch, known.seq = after.epoch, after.seq
    return known


def _is_later(message: ControlMessage, state: RouteState) -> bool:
    return (message.epoch, message.seq) > (state.epoch, state.seq)


def _from_ledger(known: RouteState) -> RouteState:
    return RouteState(
        route=known.route,
        champion=known.champion,
        arms={name: _without_labels(arm) for name, arm in known.arms.items()},
        weights=dict(known.weights),
        target=dict(known.target),
        policy=known.policy,
        pinned=known.pinned,
        frozen=known.frozen,
        last_known_good=list(known.last_known_good),
        commands=dict(known.commands),
        salt_period=known.salt_period,
        applied=known.applied,
    )


def _without_labels(arm: ArmState) -> ArmState:
    return ArmState(
        registration=arm.registration,
        registered_at_ms=arm.registered_at_ms,
        validation_score=arm.validation_score,
        phase=arm.phase,
        nursery_until=max(0, arm.nursery_until - arm.count),
        validation_count=arm.validation_count,
        prior=list(arm.prior),
    )


def _from_message(newest: ControlMessage, known: RouteState | None, now_ms: int) -> RouteState:
    """What subscribers follow, where the ledger does not know it, or something older."""
    before = RouteState(newest.route) if known is None else _from_ledger(known)
    names = [*newest.weights, *(arm for arm in newest.quarantined if arm not in newest.weights)]
    first = max((arm.registration for arm in before.arms.values()), default=0)
    for number, name in enumerate((n for n in names if n not in before.arms), first + 1):
        before.arms[name] = ArmState(number, now_ms, None, "candidate", 0)
    for name in names:
        before.arms[name].phase = _phase(name, newest, before.arms[name].phase)
    for name, arm in before.arms.items():
        if name not in names:
            arm.phase = "retired"
    before.champion = newest.champion
    before.weights = {name: weight for name, weight in newest.weights.items() if weight}
    before.target = dict(before.weights)
    before.pinned = newest.cause.get("pinned", before.pinned)
    before.frozen = bool(newest.cause.get("frozen", before.frozen))
    before.last_known_good = [reign for reign in before.last_known_good if reign.arm in names]
    return before


def _phase(name: str, newest: ControlMessage, before: ArmPhase) -> ArmPhase:
    if name in newest.quarantined:
        return "quarantined"
    if name == newest.champion:
        return "champion"
    return before if before in {"nursery", "candidate"} else "candidate"
