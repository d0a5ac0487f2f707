"""The description at ``/openapi.json``: records from their structs, so that it cannot grow old."""

from functools import cache
from typing import Any, Final

import msgspec

import leverframe
from leverframe.agents.gateway.evaluation import MOST_UNIT_CHARS
from leverframe.agents.gateway.feedback import NDJSON
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

__all__ = ["openapi_document"]

_JSON: Final = "application/json"
_REF: Final = "#/components/schemas/"
_TEXT: Final = {"type": "string"}
_UNIT: Final = {"type": "string", "minLength": 1, "maxLength": MOST_UNIT_CHARS}
_CONTEXT: Final = {
    "type": "object",
    "required": ["targetingKey"],
    "properties": {
        "targetingKey": {**_UNIT, "description": "Who is assigned: a user, a session, a request."},
        "request_id": {**_UNIT, "description": "Draws the answers in shadow; the unit if absent."},
    },
}
_FLAG: Final = {
    "type": "object",
    "required": ["key", "reason", "metadata"],
    "properties": {
        "key": {**_TEXT, "description": "The route."},
        "value": {**_TEXT, "description": "The arm; absent where no arm has any weight."},
        "variant": {**_TEXT, "description": "The arm."},
        "reason": {"enum": ["SPLIT", "STATIC", "UNKNOWN", "DISABLED"]},
        "metadata": {
            "type": "object",
            "required": ["epoch", "seq"],
            "properties": {
                "epoch": {"type": "integer"},
                "seq": {"type": "integer"},
                "propensity": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "champion": _TEXT,
                "stale": {"const": True, "description": "Safe weights hold: control is silent."},
                "shadows": {**_TEXT, "description": "JSON array of arms to ask in shadow."},
            },
        },
    },
}
_PROBLEM: Final = {
    "type": "object",
    "required": ["title", "status", "detail", "cure"],
    "properties": {
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "What is wrong."},
        "cure": {**_TEXT, "description": "What to do."},
        "faults": {
            "type": "array",
            "description": "The first 20 wrong records, counted from 0, with the field's path.",
            "items": {
                "type": "object",
                "required": ["record", "reason", "detail"],
                "properties": {
                    "record": {"type": "integer"},
                    "reason": _TEXT,
                    "detail": _TEXT,
                },
            },
        },
    },
}
_FAILURE: Final = {
    "type": "object",
    "required": ["errorCode", "errorDetails"],
    "properties": {
        "key": _TEXT,
        "errorCode": {
            "enum": ["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND"]
        },
        "errorDetails": _TEXT,
    },
}
_EVALUATION: Final = {
    "type": "object",
    "required": ["context"],
    "properties": {"context": {"$ref": _REF + "Context"}},
}
_BULK: Final = {
    "type": "object",
    "required": ["flags", "metadata"],
    "properties": {
        "flags": {"type": "array", "items": {"$ref": _REF + "Flag"}},
        "metadata": {"type": "object", "properties": {"revision": _TEXT}},
        "eventStreams": {"type": "array", "items": {"type": "object"}},
    },
}
_ACCEPTED: Final = {
    "type": "object",
    "required": ["accepted"],
    "properties": {"accepted": {"type": "integer", "minimum": 0}},
}
_RETRY: Final = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
_NO_NUL: Final = r"^[^\u0000]"
_NAMES: Final = (
    ("Prediction", "request_id"),
    ("Prediction", "route"),
    ("GroundTruth", "request_id"),
)
_OPEN: Final[dict[str, Any]] = {"security": []}


def _answer(text: str, schema: str | None = None, media: str = _JSON, **more: Any) -> Any:
    answer: dict[str, Any] = {"description": text, **more}
    if schema is not None:
        answer["content"] = {media: {"schema": {"$ref": _REF + schema}}}
    return answer


def _problem(text: str, **more: Any) -> Any:
    return _answer(text, "Problem", "application/problem+json", **more)


_REFUSED: Final = {
    "401": _problem("The token is missing or wrong."),
    "413": _problem("Too large, or too many records."),
    "500": _problem("A mistake of ours; the log has its trace."),
    "421": _problem("This server has another name."),
}


@cache
def openapi_document(*, needs_token: bool) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1."""
    (_, _), records = msgspec.json.schema_components(
        [Prediction, GroundTruth], ref_template=_REF + "{name}"
    )
    # The structs leave it to the steps (schemas/fields.py).
    for record, name in _NAMES:
        records[record]["properties"][name]["pattern"] = _NO_NUL
    for record in ("Prediction", "GroundTruth"):
        one_of = records[record]["properties"]["session_id"]["anyOf"]
        next(kind for kind in one_of if kind["type"] == "string")["pattern"] = _NO_NUL
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leverframe gateway",
            "version": leverframe.__version__,
            "description": "OpenFeature remote evaluation (OFREP 0.3.0), predictions and labels.",
        },
        "security": [{"bearer": []}, {"key": []}] if needs_token else [],
        "paths": {**_evaluations(), **_feedback(), **_watched()},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": {
                **records,
                "Context": _CONTEXT,
                "Evaluation": _EVALUATION,
                "Flag": _FLAG,
                "Flags": _BULK,
                "Failure": _FAILURE,
                "Problem": _PROBLEM,
                "Accepted": _ACCEPTED,
            },
        },
    }


def _evaluations() -> dict[str, Any]:
    asked = {"required": True, "content": {_JSON: {"schema": {"$ref": _REF + "Evaluation"}}}}
    route = {"name": "route", "in": "path", "required": True, "schema": _TEXT}
    known = {"name": "If-None-Match", "in": "header", "schema": _TEXT}
    told = {"name": "flagConfigEtag", "in": "query", "schema": _TEXT}
    ticket = {"name": "ticket", "in": "query", "schema": _TEXT}
    last = {"name": "Last-Event-ID", "in": "header", "schema": _TEXT}
    failed = _answer("The request cannot be evaluated.", "Failure")
    unknown = _answer("Nothing was heard of the route.", "Failure")
    stream = {"description": "Changes, as events.", "content": {"text/event-stream": {}}}
    return {
        "/ofrep/v1/evaluate/flags/{route}": {
            "post": {
                "operationId": "evaluate",
                "summary": "Which arm a unit has on a route",
                "parameters": [route],
                "requestBody": asked,
                "responses": {
                    "200": _answer("The arm.", "Flag"),
                    "400": failed,
                    "404": unknown,
                    **_REFUSED,
                },
            }
        },
        "/ofrep/v1/evaluate/flags": {
            "post": {
                "operationId": "evaluateAll",
                "summary": "Which arms a unit has on all routes",
                "parameters": [known, told],
                "requestBody": asked,
                "responses": {
                    "200": _answer("The arms, with their tag.", "Flags"),
                    "304": _answer("As the caller knows them."),
                    "400": failed,
                    **_REFUSED,
                },
            }
        },
        "/ofrep/v1/events": {
            "get": {
                "operationId": "events",
                "summary": "Changes, pushed (SSE)",
                "parameters": [ticket, last],
                "responses": {
                    "200": stream,
                    "401": _REFUSED["401"],
                    "421": _REFUSED["421"],
                    "503": _problem("Too many streams.", headers=_RETRY),
                },
            }
        },
    }


def _feedback() -> dict[str, Any]:
    return {
        "/v1/predictions": {"post": _taken("Prediction", "predictions", "Write predictions")},
        "/v1/labels": {"post": _taken("GroundTruth", "labels", "Write labels")},
    }


def _taken(record: str, operation: str, summary: str) -> dict[str, Any]:
    one = {"$ref": _REF + record}
    return {
        "operationId": operation,
        "summary": f"{summary}: one, an array, or one a line; all of them or none",
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": {"anyOf": [one, {"type": "array", "items": one}]}},
                NDJSON: {"schema": _TEXT},
            },
        },
        "responses": {
            "202": _answer("On all in-sync replicas of Kafka.", "Accepted"),
            "400": _problem("Records that the job could not use; none was taken."),
            "415": _problem("The body's kind is not known."),
            "429": _problem("More comes than Kafka takes.", headers=_RETRY),
            "503": _problem("Not known to be durable: send again.", headers=_RETRY),
            **_REFUSED,
        },
    }


def _watched() -> dict[str, Any]:
    said: dict[str, Any] = {"content": {_JSON: {"schema": {"type": "object"}}}}
    text: dict[str, Any] = {"content": {"text/plain": {"schema": _TEXT}}}
    return {
        "/health/live": {
            "get": {
                **_OPEN,
                "operationId": "live",
                "responses": {"200": {"description": "It answers.", **said}},
            }
        },
        "/health/ready": {
            "get": {
                **_OPEN,
                "operationId": "ready",
                "responses": {
                    "200": {"description": "Send requests here.", **said},
                    "503": {"description": "It is stopping.", **said},
                },
            }
        },
        "/metrics": {
            "get": {
                **_OPEN,
                "operationId": "metrics",
                "responses": {"200": {"description": "Prometheus' page.", **text}},
            }
        },
        "/openapi.json": {
            "get": {
                **_OPEN,
                "operationId": "openapi",
                "responses": {"200": {"description": "This.", **said}},
            }
        },
    }
