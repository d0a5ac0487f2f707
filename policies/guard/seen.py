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

MOST_UNITS: Final = 2048
"""Units remembered at once, 6 bytes each in the ledger."""
_ALL: Final = 1 << 32
_CLOSED: Final = 33  # no hash lies below 2**32 >> 33
_PERSON: Final = b"lf-unit"


class SeenUnits(Struct, array_like=True):
    """Who was counted in the newest period, and in the one before it; older ones are closed.

    Attributes
    ----------
    period : int
        The newest period seen, a number that grows; -1 before the first.
    now, before : dict of int to int
        Hashes of units counted in the newest period, and in the one before it, to 0: a dict keeps
        its order, and with it a state its bytes.
    halvings, halvings_before : int
        How often the limit of hashes was halved in each, from 2**32 on; 33 where it is closed.
    length_ms : int
        Of the periods; 0 where there is one for ever, or none yet.
    """

    period: int = -1
    now: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)
    halvings: int = 0
    halvings_before: int = 0
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


def seen_in(seen: SeenUnits, length_ms: int, now_ms: int) -> SeenUnits:
    """Return the same, or a new beginning where its newest period says nothing.

    Parameters
    ----------
    seen : SeenUnits
        So far.
    length_ms : int
        Of the periods now; 0 where there is one for ever.
    now_ms : int
        Stream time, ms since the epoch.

    Returns
    -------
    SeenUnits
        New where the settings say another length than before, or where the newest period is two or
        more ahead of stream time: some clock was, and everybody's periods would be closed.
    """
    is_ahead = length_ms > 0 and seen.period > now_ms // length_ms + 1
    return SeenUnits(length_ms=length_ms) if seen.length_ms != length_ms or is_ahead else seen


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
    if period > seen.period:
        _begin(seen, period)
    now = seen.now
    if period == seen.period:
        if unit in now or unit >= _ALL >> seen.halvings:
            return False
        now[unit] = 0
    elif period == seen.period - 1:
        if unit in now or unit in seen.before or unit >= _ALL >> seen.halvings_before:
            return False
        seen.before[unit] = 0
    else:
        return False
    if len(now) + len(seen.before) > most:
        _thin(seen, most)
    return True


def _begin(seen: SeenUnits, period: int) -> None:
    is_next = period == seen.period + 1
    seen.before, seen.halvings_before = (seen.now, seen.halvings) if is_next else ({}, 0)
    seen.period, seen.now, seen.halvings = period, {}, 0


def _thin(seen: SeenUnits, most: int) -> None:
    """Close the period before, and if that is not enough, forget half of the units of this one."""
    seen.before, seen.halvings_before = {}, _CLOSED
    while len(seen.now) > most:
        seen.halvings += 1
        limit = _ALL >> seen.halvings
        seen.now = {unit: 0 for unit in seen.now if unit < limit}
