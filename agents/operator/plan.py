"""What a file of routes would change: the difference between it and what runs."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from leverframe.agents.operator.standing import PolicyInForce
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.routes.applied import written_out
from leverframe.streams.routes.settings import OTHER_ROUTES, RouteSettings

__all__ = ["Difference", "RoutePlan", "differences", "plan_routes"]

Standing: TypeAlias = Literal["same", "changed", "new", "left over"]


class Difference(Struct, frozen=True):
    """A key of a route's settings that is to have another value.

    Attributes
    ----------
    key : str
        Such as ``guard.margin``.
    runs, wanted : object
        Its value now, and in the file; None where there is none.
    by_command : bool
        Whether a command chose what runs.
    """

    key: str
    runs: Any
    wanted: Any
    by_command: bool = False


class RoutePlan(Struct, frozen=True):
    """What becomes of a route.

    Attributes
    ----------
    route : str
        Its name.
    standing : {"same", "changed", "new", "left over"}
        ``new``: nothing was applied yet, so it runs as the workers' settings file says.
        ``left over``: it was applied, and the file does not have it.
    differences : list of Difference
        Of a new route: to the settings file that this command reads, where that has the route.
    """

    route: str
    standing: Standing
    differences: list[Difference] = field(default_factory=list)


def plan_routes(
    wanted: Mapping[str, RouteSettings],
    applied: Mapping[str, AppliedSettings],
    commanded: Mapping[str, PolicyInForce],
    written: Mapping[str, RouteSettings],
) -> list[RoutePlan]:
    """Compare a file with what runs, route by route.

    ``applied`` is the newest of each route on the topic, ``commanded`` the policies that commands
    chose, ``written`` the settings file that this command reads.
    """
    plans = [
        _plan(route, settings, applied.get(route), commanded.get(route), written)
        for route, settings in wanted.items()
    ]
    left = [
        route for route, one in applied.items() if one.settings is not None and route not in wanted
    ]
    return plans + [RoutePlan(route, "left over") for route in sorted(left)]


def _plan(
    route: str,
    settings: RouteSettings,
    applied: AppliedSettings | None,
    commanded: PolicyInForce | None,
    written: Mapping[str, RouteSettings],
) -> RoutePlan:
    is_new = applied is None or applied.settings is None
    if applied is None or applied.settings is None:
        known = written.get(route, written.get(OTHER_ROUTES))
        runs = {} if known is None else written_out(known)
    else:
        runs = applied.settings
    found = [] if is_new and not runs else list(differences(runs, written_out(settings)))
    if commanded is not None:
        found = [one for one in found if not one.key.startswith("policy")]
        chosen = {"name": commanded.name, "params": commanded.params}
        wanted = written_out(settings)["policy"]
        found.append(Difference("policy", chosen, wanted, by_command=True))
    if is_new:
        return RoutePlan(route, "new", found)
    return RoutePlan(route, "changed" if found else "same", found)


def differences(
    runs: Mapping[str, Any], wanted: Mapping[str, Any], path: str = ""
) -> Iterator[Difference]:
    """Yield what differs between two trees of settings, by key.

    >>> [one.key for one in differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}})]
    ['a.b']
    """
    for key in sorted(runs.keys() | wanted.keys()):
        one, other = runs.get(key), wanted.get(key)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{path}{key}.")
        else:
            yield Difference(f"{path}{key}", one, other)
