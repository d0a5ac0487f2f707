"""When changes that can wait may be made: days and hours, in a time zone."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["is_open", "opens_ms"]

_LATEST_MS: Final = 253_402_214_400_000  # the last day of the year 9999
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def opens_ms(written: str, zone: ZoneInfo) -> int:
    """Return a date and time as ms since the epoch; in a zone where it names none.

    >>> opens_ms("2026-12-01T09:00", ZoneInfo("Europe/Berlin"))
    1796112000000
    """
    at = datetime.fromisoformat(written)
    return round((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)


def is_open(
    now_ms: int,
    *,
    not_before: str | None,
    days: list[str],
    hours: tuple[int, int],
    time_zone: str,
) -> bool:
    """Whether changes may be made at a stream time; hours may go over midnight.

    >>> friday = 1796374800000 - 3 * 86_400_000  # 2026-12-01 10:00 in Berlin, a Tuesday
    >>> rules = {"not_before": None, "hours": (9, 17), "time_zone": "Europe/Berlin"}
    >>> is_open(friday, days=["tue"], **rules), is_open(friday, days=["fri"], **rules)
    (True, False)
    """
    zone = ZoneInfo(time_zone)
    if not_before is not None and now_ms < opens_ms(not_before, zone):
        return False
    # A record's time may be the last that a calendar has, and a zone lie east of it.
    at = datetime.fromtimestamp(min(now_ms, _LATEST_MS) / 1000, tz=UTC).astimezone(zone)
    begin, end = hours
    if begin < end:
        is_hour, day = begin <= at.hour < end, at.weekday()
    else:
        # The hours after midnight belong to the evening before.
        is_hour = at.hour >= begin or at.hour < end
        day = at.weekday() if at.hour >= begin else (at.weekday() - 1) % len(_DAYS)
    return is_hour and (not days or _DAYS[day] in days)
