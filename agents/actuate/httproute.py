"""Gateway API's HTTPRoute: backend weights of one rule, to shares and back; pure.

``spec.rules`` and ``backendRefs`` are atomic lists of its resource definition: server-side apply
owns all of ``spec.rules`` or nothing of it. So all rules are applied as they were read, with the
weights changed and with the version they were read in: whoever changed them meanwhile is not
overwritten, the API server answers 409 and they are read again.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leverframe.agents.actuate.managers import FIELD_MANAGER, owners
from leverframe.agents.actuate.place import Seen, Trouble
from leverframe.agents.actuate.settings import HttpRouteSettings
from leverframe.agents.actuate.shares import apportion

__all__ = ["API_VERSION", "route_patch", "route_path", "seen_route"]

API_VERSION: Final = "gateway.networking.k8s.io/v1"
_DEFAULT_WEIGHT: Final = 1


def route_path(settings: HttpRouteSettings) -> str:
    """Return the object's path at the API server."""
    return f"/apis/{API_VERSION}/namespaces/{settings.namespace}/httproutes/{settings.name}"


def seen_route(
    document: Mapping[str, Any], settings: HttpRouteSettings, arms: Mapping[str, str]
) -> Seen:
    """Read an HTTPRoute.

    Parameters
    ----------
    document : mapping
        The object.
    settings : HttpRouteSettings
        Which rule.
    arms : mapping of str to str
        Backend of each arm.

    Returns
    -------
    Seen
        In force where every parent has accepted this generation, as ``confirm`` asks for.

    Raises
    ------
    Trouble
        If there is no such rule, or it has no backend of any arm.
    """
    found = _backends(document, settings, arms)
    weights = {arm: _weight(entry) for arm, entry in found.items()}
    shares = apportion(weights, settings.total) or dict.fromkeys(found, 0)
    named = owners(document, ("f:spec", "f:rules"))
    others = () if FIELD_MANAGER in named else tuple(named)
    pending = "" if settings.confirm == "spec" else _pending(document)
    faults = tuple(_surplus(document, settings, found))
    return Seen(shares, pending, others, faults, document)


def route_patch(
    seen: Seen, settings: HttpRouteSettings, arms: Mapping[str, str], shares: Mapping[str, int]
) -> dict[str, Any]:
    """Return what is applied: all rules, with the weights changed.

    Parameters
    ----------
    seen : Seen
        As it was read.
    settings : HttpRouteSettings
        Which rule.
    arms : mapping of str to str
        Backend of each arm.
    shares : mapping of str to int
        To be written.

    Returns
    -------
    dict
        A partial object for server-side apply.
    """
    changed = copy.deepcopy(seen.document)
    for arm, backend in _backends(changed, settings, arms).items():
        backend["weight"] = shares.get(arm, 0)
    return {
        "apiVersion": API_VERSION,
        "kind": "HTTPRoute",
        "metadata": {
            "name": settings.name,
            "namespace": settings.namespace,
            "resourceVersion": changed["metadata"]["resourceVersion"],
        },
        "spec": {"rules": changed["spec"]["rules"]},
    }


def _backends(
    document: Mapping[str, Any], settings: HttpRouteSettings, arms: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Each arm's entry in the rule; the very objects of the document."""
    entries: list[dict[str, Any]] = _rule(document, settings).get("backendRefs") or []
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        with_port = f"{_backend_name(entry)}:{entry.get('port', '')}"
        found[with_port if with_port in arms.values() else _backend_name(entry)] = entry
    if len(found) < len(entries):
        raise Trouble(
            "unfit",
            f"{settings.where} has a backend twice: name each as NAME:PORT in arms, or leave one "
            "out",
        )
    if not found.keys() & {*arms.values()}:
        raise Trouble(
            "unfit",
            f"{settings.where} has no backend of any arm; it has "
            f"{', '.join(map(repr, found)) or 'none'}: add those of arms with weight 0, or correct "
            "arms",
        )
    return {arm: found[backend] for arm, backend in arms.items() if backend in found}


def _surplus(
    document: Mapping[str, Any], settings: HttpRouteSettings, found: Mapping[str, dict[str, Any]]
) -> Iterator[str]:
    """Backends that get traffic and are no arm's."""
    for entry in _rule(document, settings).get("backendRefs") or ():
        if _weight(entry) and not any(entry is ours for ours in found.values()):
            yield (
                f"{settings.where} has the backend {_backend_name(entry)!r}, which is no arm's "
                f"and has the weight {_weight(entry)}, so shares are not those of the arms: name "
                "it in arms, or take it out of the rule"
            )


def _weight(entry: Mapping[str, Any]) -> int:
    return int(entry.get("weight", _DEFAULT_WEIGHT))


def _backend_name(backend: Mapping[str, Any]) -> str:
    """``NAME``, or ``NAMESPACE/NAME`` where the entry says a namespace."""
    space = backend.get("namespace")
    return f"{space}/{backend['name']}" if space else str(backend["name"])


def _rule(document: Mapping[str, Any], settings: HttpRouteSettings) -> Mapping[str, Any]:
    rules: list[dict[str, Any]] = document.get("spec", {}).get("rules") or []
    if not settings.rule:
        if settings.rule_index < len(rules):
            return rules[settings.rule_index]
        raise Trouble(
            "unfit",
            f"HTTPRoute {settings.place} has no rule {settings.rule_index}; it has {len(rules)}, "
            "counted from 0: correct rule_index",
        )
    for rule in rules:
        if rule.get("name") == settings.rule:
            return rule
    named = ", ".join(repr(rule["name"]) for rule in rules if "name" in rule) or "none with a name"
    raise Trouble(
        "unfit",
        f"HTTPRoute {settings.place} has no rule {settings.rule!r}; it has {named}: correct rule, "
        "or choose by rule_index",
    )


def _pending(document: Mapping[str, Any]) -> str:
    """Say why the gateways do not do yet what is written."""
    parents = document.get("status", {}).get("parents") or []
    if not parents:
        return "no gateway has taken the route up (status.parents is empty)"
    return next(_unaccepted(document["metadata"].get("generation", 0), parents), "")


def _unaccepted(generation: int, parents: list[dict[str, Any]]) -> Iterator[str]:
    for parent in parents:
        name = parent.get("parentRef", {}).get("name", "")
        told = [one for one in parent.get("conditions") or () if one.get("type") == "Accepted"]
        if not told or told[0].get("observedGeneration", 0) < generation:
            yield f"gateway {name!r} has not seen generation {generation} yet"
        elif told[0].get("status") != "True":
            yield f"gateway {name!r} does not accept the route: {told[0].get('message', '')}"
