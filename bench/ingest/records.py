"""The same pairs in three forms: our own, nested JSON, Avro behind a registry's frame."""

import io
from collections.abc import Iterator
from typing import Any, Final

import fastavro
import orjson

from bench.rig.filling import request_id
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

__all__ = ["FORMS", "SCHEMAS", "avro_pair", "json_pair", "own_pair", "section"]

FORMS: Final = ("own", "json", "avro")
_ROUTES: Final = 10
_ARMS: Final = 4
# Ids in the bench's registry.
ANSWER, OUTCOME = 1, 2

SCHEMAS: Final[dict[int, Any]] = {
    ANSWER: {
        "type": "record",
        "name": "Answer",
        "fields": [
            {"name": "request", "type": "string"},
            {"name": "service", "type": "string"},
            {"name": "model", "type": "string"},
            {"name": "customer", "type": "string"},
            {"name": "chance", "type": "double"},
            {"name": "answer", "type": "int"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    },
    OUTCOME: {
        "type": "record",
        "name": "Outcome",
        "fields": [
            {"name": "request", "type": "string"},
            {"name": "customer", "type": "string"},
            {"name": "outcome", "type": {"type": "enum", "name": "W", "symbols": ["no", "yes"]}},
        ],
    },
}
_PARSED: Final = {number: fastavro.parse_schema(schema) for number, schema in SCHEMAS.items()}

_FIELDS: Final = {
    "json": {
        "prediction": {
            "request_id": '"payload.request.id"',
            "route": '"payload.service"',
            "arm": '"payload.model.name"',
            "propensity": '"payload.model.chance"',
            "prediction": '"payload.answer"',
            "predicted_at_ms": '"at"',
        },
        "ground-truth": {
            "request_id": '"payload.request.id"',
            "label": '{ path = "payload.outcome", map = { yes = 1, no = 0 } }',
        },
    },
    "avro": {
        "prediction": {
            "request_id": '"request"',
            "route": '"service"',
            "arm": '"model"',
            "propensity": '"chance"',
            "prediction": '"answer"',
            "predicted_at_ms": '"at"',
        },
        "ground-truth": {
            "request_id": '"request"',
            "label": '{ path = "outcome", map = { yes = 1, no = 0 } }',
        },
    },
}


def section(form: str, prefix: str) -> str:
    """Return the settings' sections that read a form from ``answers`` and ``outcomes``."""
    lines = []
    for kind, topic in (("prediction", "answers"), ("ground-truth", "outcomes")):
        lines += [f"[sources.{topic}]", f'topic = "{prefix}{topic}"', f'kind = "{kind}"']
        lines.append(f'format = "{form}"')
        lines += [f"{name} = {value}" for name, value in _FIELDS[form][kind].items()]
    return "\n".join(lines) + "\n"


def _pair(number: int) -> tuple[str, str, str, int]:
    route, arm = f"route-{number % _ROUTES}", f"arm-{number // _ROUTES % _ARMS}"
    return request_id(number), route, arm, int(number * 7919 % 10 != 0)


def own_pair(number: int) -> tuple[bytes, bytes]:
    """Return a prediction and its label in our own form."""
    name, route, arm, label = _pair(number)
    said = Prediction(
        request_id=name,
        route=route,
        arm=arm,
        prediction=1,
        propensity=1 / _ARMS,
        predicted_at_ms=1_700_000_000_000,
    )
    return encode(said), encode(GroundTruth(request_id=name, label=label))


def json_pair(number: int) -> tuple[bytes, bytes]:
    """Return them nested, under other names, among fields that nobody reads."""
    name, route, arm, label = _pair(number)
    said = {
        "meta": {"version": 3, "host": "serving-7", "trace": name[::-1]},
        "at": 1_700_000_000_000,
        "payload": {
            "request": {"id": name, "customer": f"c-{number % 997}"},
            "service": route,
            "model": {"name": arm, "chance": 1 / _ARMS},
            "answer": 1,
        },
    }
    truth = {
        "meta": {"version": 3, "host": "batch-2"},
        "payload": {"request": {"id": name}, "outcome": "yes" if label else "no"},
    }
    return orjson.dumps(said), orjson.dumps(truth)


def avro_pair(number: int) -> tuple[bytes, bytes]:
    """Return them in Avro, behind a frame."""
    name, route, arm, label = _pair(number)
    said = {
        "request": name,
        "service": route,
        "model": arm,
        "customer": f"c-{number % 997}",
        "chance": 1 / _ARMS,
        "answer": 1,
        "at": 1_700_000_000_000,
    }
    truth = {"request": name, "customer": "c", "outcome": "yes" if label else "no"}
    return _framed(ANSWER, said), _framed(OUTCOME, truth)


def _framed(number: int, datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _PARSED[number], datum)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


def pairs(form: str, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield pairs of a form."""
    make = {"own": own_pair, "json": json_pair, "avro": avro_pair}[form]
    return (make(number) for number in range(count))
