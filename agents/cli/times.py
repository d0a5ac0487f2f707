"""Times as a person types them."""

from datetime import UTC, datetime, time
from typing import Final

import click

__all__ = ["TIME", "begin_ms"]

# A time without a fraction means the end of its second, where it says until when.
_END: Final = 999


def begin_ms(since_ms: int | None) -> int:
    """Return the begin of the second that a time names, where it says from when; 0 for None."""
    since_ms = since_ms or 0
    return since_ms - _END if since_ms % 1000 == _END else since_ms


class _Time(click.ParamType):
    """ISO time, a time of today, or ms since the epoch; always UTC unless it says otherwise."""

    name = "time"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return ms since the epoch: of the end of the second that was named."""
        if isinstance(value, int) or (value.isascii() and value.isdigit()):
            return int(value)
        at = _read(value)
        if at is None:
            self.fail(
                f"{value!r} is no time; for example 2026-05-04T14:02:07, 14:02:07 (today, UTC) "
                "or ms since the epoch",
                param,
                ctx,
            )
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000) + (_END if not at.microsecond else 0)


def _read(text: str) -> datetime | None:
    # "2026" would be a time of day to one and a year to the other.
    try:
        if ":" in text and "-" not in text.partition(":")[0]:
            return datetime.combine(datetime.now(UTC).date(), time.fromisoformat(text))
        return datetime.fromisoformat(text)
    except ValueError:
        return None


TIME = _Time()
