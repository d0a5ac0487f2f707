"""What the judgements need of a record; its value is not kept."""

from collections.abc import Sequence

import msgspec

from leverframe.agents.doctor.units import Served
from leverframe.schemas.traffic import OVER_QUOTA, OVER_QUOTA_LATELY_MS

__all__ = ["Sample", "Sampled", "alarms_of", "names_of"]


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One record.

    Attributes
    ----------
    partition : int
        Where it lies.
    offset : int
        Its place there.
    key : bytes, optional
        As it came.
    timestamp_ms : int
        Record time.
    is_broker_time : bool
        Whether the broker set the record time (``LogAppendTime``), not the producer.
    name : str
        Id of the session, of the request, or the ``route``; empty when the value has none of them.
    ttl_ms : int
        Of a control message.
    served : Served, optional
        Who was served, where the value is a prediction.
    alarms : tuple of str, optional
        In force, as a heartbeat tells; None of any other record.
    """

    partition: int
    offset: int
    key: bytes | None
    timestamp_ms: int
    is_broker_time: bool = False
    name: str = ""
    ttl_ms: int = 0
    served: Served | None = None
    alarms: tuple[str, ...] | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The newest records of a topic.

    Attributes
    ----------
    records : list of Sampled
        In the order of each partition.
    taken_at_ms : int
        This machine's time when the last of them had been read.
    failure : str
        Why it holds nothing, or not all that was wanted.
    """

    records: Sequence[Sampled] = ()
    taken_at_ms: int = 0
    failure: str = ""


class _Following(msgspec.Struct, frozen=True):
    alarms: dict[str, msgspec.Raw] = {}


class _Joins(msgspec.Struct, frozen=True):
    over_quota_ms: int = 0


class _Cause(msgspec.Struct, frozen=True):
    why: str = ""
    following: _Following = _Following()
    joins: _Joins = _Joins()


class _Control(msgspec.Struct):
    cause: _Cause = _Cause()
    issued_at_ms: int = 0


class _Value(msgspec.Struct):
    request_id: str = ""
    session_id: str | None = None
    route: str = ""
    ttl_ms: int = 0


def names_of(value: bytes | None) -> tuple[str, int]:
    """Return what a value says of itself.

    Parameters
    ----------
    value : bytes or None
        JSON, or anything else.

    Returns
    -------
    tuple of str and int
        ``session_id``, else ``request_id``, else ``route``, else an empty text; ``ttl_ms``, else 0.
    """
    try:
        read = msgspec.json.decode(value or b"", type=_Value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", 0
    return read.session_id or read.request_id or read.route, read.ttl_ms


def alarms_of(value: bytes | None) -> tuple[str, ...] | None:
    """Return the alarms in force that a heartbeat tells; a quota that was too small is one.

    Parameters
    ----------
    value : bytes or None
        JSON, or anything else.

    Returns
    -------
    tuple of str or None
        Names, sorted; None for any other value.
    """
    try:
        read = msgspec.json.decode(value or b"", type=_Control)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    cause, newest_ms = read.cause, read.cause.joins.over_quota_ms
    if cause.why != "heartbeat":
        return None
    is_over = bool(newest_ms) and read.issued_at_ms - newest_ms < OVER_QUOTA_LATELY_MS
    return tuple(sorted([*cause.following.alarms, *([OVER_QUOTA] if is_over else [])]))
