"""How several answers to one request are kept: one whole, the others by what differs.

An entry lies in the ledger for as long as the request's window; most of what an answer in shadow
says is what the served one says. A layout of the store alone: steps see ``Shared``.
"""

from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field

from leverframe.schemas.fields import PredictedValue
from leverframe.streams.attribution.entries import (
    ArrivedLabel,
    Attributed,
    EarlyLabel,
    Kept,
    PricedWaiting,
    Session,
    ShadowWaiting,
    Shared,
    UnitWaiting,
    Waiting,
    prediction_of,
    unit_of,
)

__all__ = ["Beside", "Packed", "decode_entry", "encode_entry", "pack", "unpack"]

Account: TypeAlias = Waiting | UnitWaiting | ShadowWaiting | PricedWaiting | Attributed

_NUMBERED: Final = 1
"""Epoch and seq are those of the whole answer; otherwise there are none."""
_CONTEXT: Final = 2
"""So is the context."""
_UNIT: Final = 4
"""So is the unit."""
_REWARDED: Final = 8
"""It was rewarded by the same labels; otherwise it waits."""


class Beside(Struct, array_like=True, frozen=True, gc=False):
    """An answer in shadow, by what differs from the one that is kept whole.

    Attributes
    ----------
    arm, prediction
        As it said.
    likeness : int
        What is the same, in bits: 1 epoch and seq, 2 context, 4 unit, 8 whether it is rewarded.
    later_ms : int
        How much later it came; below 0 where it came first.
    stated_ms : int
        How much before its arrival it says that it was made; above 0 as a rule.
    reward : float or None
        What it counts.
    """

    arm: str
    prediction: PredictedValue
    likeness: int
    later_ms: int
    stated_ms: int = 0
    reward: float | None = None


class Packed(Struct, array_like=True, frozen=True, tag=7, gc=False):
    """Several answers to one request.

    Attributes
    ----------
    whole : Waiting or Attributed
        The served one; where none was, the first.
    place : int
        Of that one among all, in the order in which they came.
    beside : list of Beside
        The others, in that order.
    labels : list of ArrivedLabel
        As in ``Shared``.
    """

    whole: Waiting | UnitWaiting | ShadowWaiting | PricedWaiting | Attributed
    place: int
    beside: list[Beside]
    labels: list[ArrivedLabel] = field(default_factory=list)


def pack(shared: Shared) -> Shared | Packed:
    """Return what is stored; the entry itself where answers differ in more than is usual."""
    accounts, place = shared.accounts, 0
    for at, account in enumerate(accounts):
        if prediction_of(account).served:
            place = at
            break
    whole = accounts[place]
    other, beside = prediction_of(whole), []
    for account in accounts:
        if account is not whole:
            one = _beside(account, whole, other)
            if one is None:
                return shared
            beside.append(one)
    return Packed(whole, place, beside, shared.labels)


def _beside(account: Account, whole: Account, other: Waiting) -> Beside | None:
    """None where it cannot be told from the whole answer and these few fields."""
    if type(account) is Attributed:
        if type(whole) is not Attributed or not _is_judged_alike(account, whole):
            return None
        own, reward = account.prediction, account.reward
        likeness = _likeness(own, other, _REWARDED)
    else:
        own, reward = prediction_of(account), None
        likeness = _likeness(own, other, 0)
    if likeness is None:
        return None
    return Beside(
        own.arm,
        own.prediction,
        likeness,
        own.arrived_ms - other.arrived_ms,
        own.arrived_ms - own.predicted_at_ms,
        reward,
    )


def _likeness(own: Waiting, other: Waiting, likeness: int) -> int | None:
    if (
        type(own) is not ShadowWaiting
        or own.propensity is not None
        or own.route != other.route
        or own.shown != other.shown
        or own.expires_ms - own.arrived_ms != other.expires_ms - other.arrived_ms
    ):
        return None
    if own.epoch == other.epoch and own.seq == other.seq:
        likeness |= _NUMBERED
    elif not own.epoch is own.seq is None:
        return None
    if own.context == other.context:
        likeness |= _CONTEXT
    elif own.context is not None:
        return None
    if own.unit_id == unit_of(other):
        likeness |= _UNIT
    elif own.unit_id is not None:
        return None
    return likeness


def _is_judged_alike(own: Attributed, other: Attributed) -> bool:
    return (
        type(own.label) is type(other.label)
        and own.label == other.label
        and own.counted_at_ms == other.counted_at_ms
        and own.labelled_at_ms == other.labelled_at_ms
        and own.revision == other.revision
        and own.matured == other.matured
        and own.parts == other.parts
    )


def unpack(packed: Packed) -> Shared:
    """Return the entry that was packed."""
    whole, other = packed.whole, prediction_of(packed.whole)
    accounts: list[Account] = [_account(one, whole, other) for one in packed.beside]
    accounts.insert(packed.place, whole)
    return Shared(accounts, packed.labels)


def _account(one: Beside, whole: Account, other: Waiting) -> ShadowWaiting | Attributed:
    likeness, arrived_ms = one.likeness, other.arrived_ms + one.later_ms
    is_numbered = likeness & _NUMBERED
    waiting = ShadowWaiting(
        arrived_ms,
        arrived_ms + other.expires_ms - other.arrived_ms,
        other.route,
        one.arm,
        one.prediction,
        None,
        other.epoch if is_numbered else None,
        other.seq if is_numbered else None,
        other.context if likeness & _CONTEXT else None,
        arrived_ms - one.stated_ms,
        other.shown,
        unit_of(other) if likeness & _UNIT else None,
    )
    if not likeness & _REWARDED or type(whole) is not Attributed:
        return waiting
    return Attributed(
        waiting,
        whole.label,
        whole.labelled_at_ms,
        one.reward,
        whole.revision,
        whole.counted_at_ms,
        whole.matured,
        whole.parts,
    )


Stored: TypeAlias = (
    Waiting
    | UnitWaiting
    | ShadowWaiting
    | PricedWaiting
    | EarlyLabel
    | Attributed
    | Shared
    | Packed
    | Session
)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Stored).decode


def encode_entry(entry: Kept) -> bytes:
    """Return an entry as it is stored."""
    return _encode(pack(entry) if type(entry) is Shared else entry)


def decode_entry(raw: bytes) -> Kept:
    """Return what was stored, in any layout; ``msgspec.ValidationError`` for anything else."""
    entry = _decode(raw)
    return unpack(entry) if type(entry) is Packed else entry
