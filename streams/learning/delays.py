"""How long labels take: counts in logarithmic buckets, which add, subtract and merge exactly."""

import math
from collections.abc import Mapping
from typing import Final

__all__ = ["PER_OCTAVE", "delay_bucket", "delay_quantile_ms", "middle_ms"]

PER_OCTAVE: Final = 4
"""Buckets from one delay to twice it: a quantile is right within a factor of 2^(1/4), 19 %."""


def delay_bucket(delay_ms: int) -> int:
    """Return the bucket of a delay.

    0 for less than a millisecond, then ``PER_OCTAVE`` for each doubling.
    """
    return 0 if delay_ms < 1 else 1 + int(PER_OCTAVE * math.log2(delay_ms))


def middle_ms(bucket: int) -> float:
    """Return the delay in the middle of a bucket."""
    return 0.5 if bucket == 0 else float(2.0 ** ((bucket - 0.5) / PER_OCTAVE))


def delay_quantile_ms(delays: Mapping[int, int], share: float) -> float | None:
    """Return a quantile.

    The upper end of the bucket that holds it, ms; None without labels.

    Examples
    --------
    >>> round(delay_quantile_ms({delay_bucket(ms): 1 for ms in (100, 200, 5000)}, 0.5))
    215
    """
    total = sum(delays.values())
    if total <= 0:
        return None
    rest = share * total
    for bucket in sorted(delays):
        rest -= delays[bucket]
        if rest <= 0:
            return 0.0 if bucket == 0 else float(2.0 ** (bucket / PER_OCTAVE))
    return float(2.0 ** (max(delays) / PER_OCTAVE))
