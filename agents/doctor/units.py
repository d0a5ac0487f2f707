"""Whether a route's arms are drawn by user although predictions do not name the user.

The guard and the mix test then take many requests of one user for as many draws, and promise what
they do not hold. Nobody can see a user in a record; but one who asks the same question again and
gets the same arm each time, more often than the arms' shares explain, is one.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from leverframe.agents.doctor.findings import Finding, ok, warning

__all__ = ["CHECK", "Served", "judge_units", "served_of"]

CHECK: Final = "units"
# One in a million: below that, chance may have kept the arms.
_SURE: Final = math.log(1e6)
_LEAST_REPEATS: Final = 20
_CURE: Final = (
    "If arms are drawn by user or session: send unit_id with each prediction and set "
    "reassign_units for the route (docs/units.md). If not, nothing is wrong"
)


class Served(Struct, frozen=True, kw_only=True):
    """What a prediction says of who was served.

    Attributes
    ----------
    route : str
        Where.
    arm : str
        That answered.
    unit_id : str
        Who was assigned; empty where the record does not say.
    question : bytes
        Hash of the context; empty without one.
    """

    route: str
    arm: str
    unit_id: str = ""
    question: bytes = b""


class _Value(Struct):
    route: str = ""
    arm: str = ""
    unit_id: str | None = None
    context: list[float] | None = None


def served_of(value: bytes | None) -> Served | None:
    """Return what a record of ``predictions`` says of who was served.

    Parameters
    ----------
    value : bytes or None
        JSON, or anything else.

    Returns
    -------
    Served or None
        None where the value has no route and arm.
    """
    try:
        read = msgspec.json.decode(value or b"", type=_Value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not (read.route and read.arm):
        return None
    question = b""
    if read.context:
        question = hashlib.blake2b(msgspec.msgpack.encode(read.context), digest_size=8).digest()
    return Served(route=read.route, arm=read.arm, unit_id=read.unit_id or "", question=question)


def judge_units(served: Iterable[Served], redrawn: Iterable[str]) -> Iterator[Finding]:
    """Judge the newest predictions, route by route.

    Parameters
    ----------
    served : iterable of Served
        A sample.
    redrawn : iterable of str
        Routes whose settings have ``reassign_units``.

    Yields
    ------
    Finding
        For each route with something to say.
    """
    routes: dict[str, list[Served]] = defaultdict(list)
    for one in served:
        routes[one.route].append(one)
    anew = set(redrawn)
    for route, seen in sorted(routes.items()):
        named = [one for one in seen if one.unit_id]
        units = len({one.unit_id for one in named})
        if not named:
            yield from _unnamed(route, seen)
        elif units == len(named):
            continue
        elif route in anew:
            yield ok(CHECK, f"route {route}", f"{len(named):,} requests name {units:,} units")
        else:
            yield warning(
                CHECK,
                f"route {route}",
                f"{len(named):,} requests name {units:,} units, which keep their arms for ever: "
                "the guard's alpha then leaves out how the users of two arms happen to differ",
                "Set reassign_units for the route, or read docs/units.md",
            )


def _unnamed(route: str, seen: list[Served]) -> Iterator[Finding]:
    """Bet that arms are kept: each repeated question, on the arm of the one before it."""
    shares = Counter(one.arm for one in seen)
    newest: dict[bytes, str] = {}
    repeats = kept = 0
    evidence = 0.0
    for one in seen:
        before = newest.get(one.question) if one.question else None
        if before is not None:
            share = shares[before] / len(seen)
            repeats += 1
            kept += one.arm == before
            # Half of the capital says: as drawn; half: kept nine times in ten beyond that.
            likely = share + 0.9 * (1 - share)
            odds = likely / share if one.arm == before else (1 - likely) / max(1 - share, 1e-9)
            evidence += math.log((1 + odds) / 2)
        newest[one.question] = one.arm
    if repeats >= _LEAST_REPEATS and evidence >= _SURE:
        yield warning(
            CHECK,
            f"route {route}",
            f"{kept:,} of {repeats:,} repeated contexts met the arm they had met before, and no "
            "prediction names a unit",
            _CURE,
        )
