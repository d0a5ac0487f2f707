"""Units that were served for the first time in their period: what the mix test counts.

One worker sees only some of a unit's requests, so learning sorts out once more who was counted.
Like all of ``Traffic`` it is lost when a worker is killed, without harm.
"""

from typing import Final, TypeAlias

from leverframe.policies.guard.mix import MOST_MIX_UNITS
from leverframe.policies.guard.seen import SeenUnits, hash_unit, note_unit
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.traffic import ServedKey, served_key

__all__ = ["NewUnits", "ServedUnit", "UnitsOfKey", "served_unit"]

_MOST_ROUTES: Final = 256

ServedUnit: TypeAlias = tuple[ServedKey, int, int]
"""Who answered under which message, the period of the request, the hash of its unit."""
UnitsOfKey: TypeAlias = dict[ServedKey, tuple[int, list[int]]]
"""Period, and hashes of units that were new in it."""


def served_unit(
    prediction: Prediction, unit_id: str, at_ms: int, reassign_ms: int | None
) -> ServedUnit:
    """Return what the mix test needs of a prediction, served at a time, that names its unit.

    Where units are never drawn anew there is one period for ever: they are one draw for ever.
    """
    key = served_key(prediction)
    return key, 0 if reassign_ms is None else at_ms // reassign_ms, hash_unit(unit_id)


class NewUnits:
    """Keeps who was served in this period, and who of them was not told yet."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenUnits] = {}
        self._new: UnitsOfKey = {}

    def take(self, served: list[ServedUnit]) -> None:
        """Note whom a micro-batch served."""
        for key, period, unit in served:
            seen = self._seen.get(key[0])
            if seen is None:
                if len(self._seen) >= _MOST_ROUTES:
                    del self._seen[next(iter(self._seen))]
                seen = self._seen[key[0]] = SeenUnits()
            if not note_unit(seen, unit, period, MOST_MIX_UNITS):
                continue
            known = self._new.get(key)
            if known is None or known[0] < period:
                known = self._new[key] = (period, [])
            if known[0] == period:
                known[1].append(unit)

    def give(self) -> UnitsOfKey:
        """Return who is new since the last time, and begin anew."""
        new, self._new = self._new, {}
        return new
