"""What a control message asks of a place where traffic is split; pure."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from leverframe.agents.actuate.shares import apportion
from leverframe.schemas.control import ControlMessage
from leverframe.serving.routing import InForce

__all__ = ["Wanted", "wanted_of"]


class Wanted(Struct, frozen=True):
    """What should hold.

    Attributes
    ----------
    shares : mapping of str to int
        By arm; empty where no arm that has a backend has any weight.
    broken : frozenset of str
        Arms that should have none: quarantined, or named by a rollback.
    faults : tuple of str
        What cannot be written, each with its cure. The rest is, so that a rollback is not held up.
    """

    shares: Mapping[str, int]
    broken: frozenset[str]
    faults: tuple[str, ...] = ()


def wanted_of(state: InForce, arms: Collection[str], total: int) -> Wanted:
    """Return what should hold, of arms that have a backend.

    Parameters
    ----------
    state : InForce
        What holds for the route, also the safe weights.
    arms : collection of str
        That have a backend.
    total : int
        That the shares sum to.

    Returns
    -------
    Wanted
        With a fault for arms that have a weight and no backend, whose share goes to the others.
    """
    weights = state.weights
    shares = apportion({arm: weights.get(arm, 0.0) for arm in arms}, total)
    without = {arm: weight for arm, weight in sorted(weights.items()) if arm not in arms and weight}
    faults = [
        f"arm {arm!r} has the weight {weight:g} and no backend; its share goes to the others: give "
        "it one, in arms and in the place itself, or retire it"
        for arm, weight in without.items()
    ]
    if not shares:
        faults.append("no arm that has a backend has any weight, so nothing is written")
    return Wanted(shares, _broken(state.message).intersection(arms), tuple(faults))


def _broken(message: ControlMessage) -> frozenset[str]:
    broken = set(message.quarantined)
    named = message.cause.get("arm")
    if message.kind == "rollback" and isinstance(named, str) and not message.weights.get(named):
        broken.add(named)
    return frozenset(broken)
