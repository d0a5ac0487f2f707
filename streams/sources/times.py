"""Times as others write them, to milliseconds since the epoch."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from leverframe.streams.sources.settings import Unit

__all__ = ["to_ms"]

_PER_MS: Final = {"s": 0.001, "ms": 1, "us": 1_000, "ns": 1_000_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(value: Any, unit: Unit) -> int:
    """Return a time as milliseconds since the epoch, rounded down.

    A time that the format itself marks as one (Avro's ``timestamp-micros``) needs no unit; an ISO
    time without a zone is UTC. Raises ``ValueError`` where the value is no time.

    Examples
    --------
    >>> to_ms(1_700_000_000.5, "s"), to_ms("1700000000500000", "us")
    (1700000000500, 1700000000500)
    >>> to_ms("2023-11-14T22:13:20.5Z", "iso8601")
    1700000000500
    """
    if isinstance(value, datetime):
        return _of_datetime(value)
    if unit == "iso8601":
        if not isinstance(value, str):
            raise ValueError(f"is {value!r:.80}, not an ISO 8601 time")
        try:
            return _of_datetime(datetime.fromisoformat(value))
        except ValueError as error:
            raise ValueError(f"is {value!r:.80}, not an ISO 8601 time") from error
    return _of_number(value, unit)


def _of_number(value: Any, unit: Unit) -> int:
    try:
        number = _number(value)
        per_ms = _PER_MS[unit]
        return int(number // per_ms) if per_ms >= 1 else round(number * 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"is {value!r:.80}, not a number of {unit}; say how it is written: unit"
        ) from error


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    number: int | float = value
    return number


def _of_datetime(value: datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)
