"""The named points at which ``drills.launcher`` can kill a worker, and how to get there."""

from typing import Final, NamedTuple

__all__ = ["NAMED", "Point"]


class Point(NamedTuple):
    """A point of the real code.

    Attributes
    ----------
    name : str
        As in ``drills.launcher``.
    agent : str
        Of one agent only, such as ``learning/``.
    is_of_a_start : bool
        Reached once, when a partition is taken over.
    needs_empty_disk : bool
        Reached only by a restore of many records.
    is_of_a_rebalance : bool
        Reached only when the group changes.
    """

    name: str
    agent: str = ""
    is_of_a_start: bool = False
    needs_empty_disk: bool = False
    is_of_a_rebalance: bool = False


_IN_COMMIT: Final = ("before", "begun", "half-sent", "inside", "after", "stored")
NAMED: Final = (
    *(Point(name, "attribution/") for name in _IN_COMMIT),
    *(Point(name, "learning/") for name in _IN_COMMIT),
    Point("fenced", is_of_a_start=True),
    Point("opened", is_of_a_start=True),
    Point("restore", is_of_a_start=True, needs_empty_disk=True),
    Point("bulk", is_of_a_start=True, needs_empty_disk=True),
    Point("revoked", is_of_a_rebalance=True, is_of_a_start=True),
    Point("closed", is_of_a_rebalance=True, is_of_a_start=True),
    Point("assigned", is_of_a_start=True),
)
