"""Durations as people write them in settings: ``90s``, ``15m``, ``24h``, ``7d``."""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

__all__ = ["DAY_MS", "Period", "period_ms"]

Period: TypeAlias = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]$")]
DAY_MS: Final = 86_400_000
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}


def period_ms(written: str) -> int:
    """Return a period in milliseconds.

    >>> period_ms("24h")
    86400000
    """
    return int(written[:-1]) * _UNITS_MS[written[-1]]
