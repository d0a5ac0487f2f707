"""Which units were counted in a period already, in bounded memory: a threshold on their hashes.

A heavy user who keeps an arm makes the mean of the next label, given the past, differ between equal
arms. One observation of each unit and period does not: its arm was drawn without regard to what it
is worth. Beyond ``MOST_UNITS`` only units whose hash lies below a limit go on counting, and the
limit halves whenever they are too many. Whom that leaves out is drawn by a hash that knows nothing
of arms and rewards, so what is counted stays a fair sample; only less of it.

References
----------
Bar-Yossef, Jayram, Kumar, Sivakumar and Trevisan (2002), Counting distinct elements in a data
stream, RANDOM (the threshold that halves).
"""

import hashlib
from typing import Final

from msgspec import Struct, field

__all__ = ["MOST_UNITS", "SeenUnits", "hash_unit", "note_unit", "seen_in"]

MOST_UNITS: Final = 4096
"""Units remembered at once; 5 bytes each in the ledger, and a few for the period."""
_ALL: Final = 1 << 32
_PERSON: Final = b"lf-unit"


class SeenUnits(Struct, array_like=True):
    """Who was counted when.

    Attributes
    ----------
    period : int
        The newest period seen, a number that grows; -1 before the first.
    limit : int
        Hashes below it are counted in the newest period, 0 to 2**32.
    limit_before : int
        The same in the period before it; 0 where it is closed. Older ones are.
    counted : dict of int to int
        Hash to the newest period in which the unit was counted.
    length_ms : int
        Of the periods; 0 where there is one for ever, or none yet.
    """

    period: int = -1
    limit: int = _ALL
    limit_before: int = _ALL
    counted: dict[int, int] = field(default_factory=dict)
    length_ms: int = 0


def hash_unit(unit_id: str) -> int:
    """Return a unit's hash, which no assigner draws from.

    Parameters
    ----------
    unit_id : str
        As the prediction names it.

    Returns
    -------
    int
        0 to 2**32 - 1, evenly; two units that share one count once.

    Examples
    --------
    >>> hash_unit("user-1")
    3862135137
    """
    digest = hashlib.blake2b(unit_id.encode(), digest_size=4, person=_PERSON).digest()
    return int.from_bytes(digest, "big")


def seen_in(seen: SeenUnits, length_ms: int) -> SeenUnits:
    """Return the same, or a new beginning where the settings say another period than before.

    Parameters
    ----------
    seen : SeenUnits
        So far.
    length_ms : int
        Of the periods now.

    Returns
    -------
    SeenUnits
        Numbers of periods of another length would say nothing.
    """
    return seen if seen.length_ms == length_ms else SeenUnits(length_ms=length_ms)


def note_unit(seen: SeenUnits, unit: int, period: int, most: int = MOST_UNITS) -> bool:
    """Count a unit if this is its first time in a period.

    Parameters
    ----------
    seen : SeenUnits
        Changed in place.
    unit : int
        Its hash.
    period : int
        In which its request was served, at least 0.
    most : int
        Units remembered at once, at least 1.

    Returns
    -------
    bool
        Whether it counts: False for the second time, for a unit that is left out, and for a period
        that is closed.

    Examples
    --------
    >>> seen = SeenUnits()
    >>> [note_unit(seen, 7, period) for period in (3, 3, 4, 3, 1)]
    [True, False, True, False, False]
    """
    if period != seen.period and not _reach(seen, period):
        return False
    limit = seen.limit if period == seen.period else seen.limit_before
    counted = seen.counted
    if unit >= limit or counted.get(unit, -1) >= period:
        return False
    counted[unit] = period
    if len(counted) > most:
        _thin(seen, most)
    return True


def _reach(seen: SeenUnits, period: int) -> bool:
    """Begin a newer period; False for one that is older than the one before the newest."""
    if period < seen.period:
        return period == seen.period - 1
    seen.limit_before = seen.limit if period == seen.period + 1 else _ALL
    seen.limit, seen.period = _ALL, period
    seen.counted = {unit: last for unit, last in seen.counted.items() if last >= period - 1}
    return True


def _thin(seen: SeenUnits, most: int) -> None:
    """Forget the period before, and if that is not enough, every other unit of this one."""
    seen.limit_before = 0
    seen.counted = {unit: last for unit, last in seen.counted.items() if last == seen.period}
    while len(seen.counted) > most:
        seen.limit //= 2
        seen.counted = {unit: last for unit, last in seen.counted.items() if unit < seen.limit}
