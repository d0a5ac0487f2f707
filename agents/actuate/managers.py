"""Who owns a field of an object in Kubernetes, by ``metadata.managedFields``; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["FIELD_MANAGER", "owners"]

FIELD_MANAGER: Final = "leverframe"


def owners(document: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    """Return the managers that own a field.

    Parameters
    ----------
    document : mapping
        The object.
    path : sequence of str
        As managed fields spell it.

    Returns
    -------
    list of str
        Names, each once.

    Examples
    --------
    >>> document = {"metadata": {"managedFields": [
    ...     {"manager": "helm", "fieldsV1": {"f:spec": {"f:rules": {}}}},
    ...     {"manager": "envoy-gateway", "fieldsV1": {"f:status": {}}}]}}
    >>> owners(document, ("f:spec", "f:rules"))
    ['helm']
    """
    found = []
    for entry in document.get("metadata", {}).get("managedFields") or ():
        node = entry.get("fieldsV1") or {}
        for part in path:
            node = node.get(part) if isinstance(node, Mapping) else None
        if node is not None:
            found.append(str(entry.get("manager", "")))
    return list(dict.fromkeys(found))
