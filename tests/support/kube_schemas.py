"""Kubernetes' own schemas, and those of two operators, as Go's module proxy serves them.

Nothing is built: the modules hold the OpenAPI description of the API server and the resource
definitions. Judged strictly: a field that a schema does not know is a fault, as it would be lost.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema
import yaml
from go_modules import fetched

__all__ = ["KUBERNETES", "faults"]

KUBERNETES: Final = ("v1.30.14", "v1.37.2")
"""The oldest that the chart is for, and the newest that was tried."""

_OPERATORS: Final = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "github.com/kedacore/keda/v2@v2.21.0": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
}


def faults(manifest: Mapping[str, Any], version: str) -> list[str]:
    """Return what an API server of a version would refuse or drop, each with its path."""
    kind = f"{manifest['apiVersion']} {manifest['kind']}"
    known = _schemas(version)
    if kind not in known and kind not in _operators():
        return [f"{kind}: no such kind in {version}"]
    root, schema = known[kind] if kind in known else _operators()[kind]
    judge = jsonschema.Draft4Validator({**schema, "definitions": root})
    return [f"{kind} {fault.json_path}: {fault.message}" for fault in judge.iter_errors(manifest)]


@functools.cache
def _schemas(version: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return all definitions, and one of them, by apiVersion and kind."""
    told = json.loads(
        (fetched(f"k8s.io/kubernetes@{version}") / "api/openapi-spec/swagger.json").read_text()
    )
    known = {name: _strict(schema) for name, schema in told["definitions"].items()}
    return {
        f"{'/'.join(filter(None, (of['group'], of['version'])))} {of['kind']}": (known, known[name])
        for name, schema in told["definitions"].items()
        for of in schema.get("x-kubernetes-group-version-kind", ())
    }


@functools.cache
def _operators() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    found = {}
    for module, files in _OPERATORS.items():
        folder = fetched(module)
        for file in files:
            made = yaml.safe_load((folder / file).read_text(encoding="utf-8"))["spec"]
            for version in made["versions"]:
                schema = _strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {}
                found[f"{made['group']}/{version['name']} {made['names']['kind']}"] = ({}, schema)
    return found


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as JSON Schema that refuses unknown fields."""
    told = dict(schema)
    if told.get("format") == "int-or-string" or told.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    told |= dict(_inner(told))
    is_open = told.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in told
    if "properties" in told and not is_open:
        told["additionalProperties"] = False
    return told


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in schema.items():
        if name == "properties":
            yield name, {key: _strict(value) for key, value in inner.items()}
        elif name in {"items", "additionalProperties"} and isinstance(inner, dict):
            yield name, _strict(inner)
