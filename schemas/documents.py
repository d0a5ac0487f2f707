"""JSON Schemas and the AsyncAPI document, generated from the structs."""

from inspect import cleandoc
from typing import Any, Final

import msgspec

from leverframe.schemas.codec import RECORDS

__all__ = ["ASYNCAPI_VERSION", "asyncapi", "json_schema"]

ASYNCAPI_VERSION: Final = "3.0.0"
_KEYS: Final = {"predictions": "request_id", "ground-truth": "request_id"}


def json_schema(topic: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a topic's values.

    Parameters
    ----------
    topic : str
        Name without prefix, a key of ``RECORDS``.

    Returns
    -------
    dict
        Self-contained.
    """
    (schema,), definitions = msgspec.json.schema_components(
        [RECORDS[topic]], ref_template="#/$defs/{name}"
    )
    name = str(schema["$ref"]).rsplit("/", 1)[-1]
    for definition in definitions.values():
        if "description" in definition:
            # Python 3.13 takes the indent out of docstrings, those before it do not.
            definition["description"] = cleandoc(definition["description"])
    own = dict(definitions[name])
    own["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    own["description"] = _summary(RECORDS[topic])
    rest = {key: value for key, value in definitions.items() if key != name}
    if rest:
        own["$defs"] = rest
    return own


def asyncapi(version: str) -> dict[str, Any]:
    """Return the AsyncAPI document of all topics.

    Parameters
    ----------
    version : str
        Of the package.

    Returns
    -------
    dict
        AsyncAPI 3.
    """
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for topic, kind in RECORDS.items():
        name = kind.__name__
        schema = json_schema(topic)
        del schema["$schema"]
        schemas[name] = schema
        messages[name] = {
            "name": name,
            "contentType": "application/json",
            "summary": _summary(kind),
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
        }
        channels[topic] = {
            "address": topic,
            "description": f"Keyed by {_KEYS.get(topic, 'route')}.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        reads = topic in {"predictions", "ground-truth", "commands", "control-acks"}
        operations[f"{'read' if reads else 'publish'}-{topic}"] = {
            "action": "receive" if reads else "send",
            "channel": {"$ref": f"#/channels/{topic}"},
        }
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "Leverframe",
            "version": version,
            "description": "Topics of the job that decides which model version answers.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _summary(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
