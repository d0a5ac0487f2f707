"""The twelve kinds of record that estates hold, each with its broken twin; ``@`` is the prefix.

Each kind is one topic. ``good`` makes its record for a request, ``broken`` one that cannot be used,
with the reason and the path of its dead letter.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro
import orjson
from foreign import framed
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from registry_server import RegistryServer

Sent = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Key, value and headers."""


@dataclass(frozen=True)
class Kind:
    name: str
    kind: str
    toml: str
    good: Callable[[str], Sent]
    broken: Sent
    reason: str
    path: str

    @property
    def section(self) -> str:
        head = f'[sources.{self.name}]\ntopic = "@{self.name}"\nkind = "{self.kind}"\n'
        return head + self.toml


def plain(value: Any, key: bytes | None = None) -> Sent:
    return key, orjson.dumps(value), []


def event(request_id: str, body: Any) -> Sent:
    """As KServe's inference logger sends it, in binary mode."""
    attributes = {
        "specversion": "1.0",
        "id": request_id,
        "type": "org.kubeflow.serving.inference.response",
        "source": "http://localhost:9081/",
        "inferenceservicename": "wage",
        "component": "canary",
    }
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return None, orjson.dumps(body), [*headers, ("content-type", b"application/json")]


def change(op: str, before: Any, after: Any) -> Any:
    return {
        "schema": {"type": "struct"},
        "payload": {"op": op, "before": before, "after": after, "source": {"table": "outcomes"}},
    }


PREDICTION = {
    "type": "record",
    "name": "Prediction",
    "namespace": "shop",
    "fields": [
        {"name": "request", "type": "string"},
        {"name": "model", "type": "string"},
        {"name": "score", "type": ["null", "double"], "default": None},
    ],
}


def avro(number: int, schema: Any, datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return framed(number, out.getvalue())


def decision_file() -> descriptor_pb2.FileDescriptorProto:
    """``message Decision { string request = 1; string model = 2; bool approved = 3; }``."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="d.proto", package="shop", syntax="proto3")
    decision = file.message_type.add(name="Decision")
    for number, (name, kind) in enumerate(
        [("request", kinds.TYPE_STRING), ("model", kinds.TYPE_STRING), ("yes", kinds.TYPE_BOOL)], 1
    ):
        decision.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    return file


def decision(number: int, **fields: Any) -> bytes:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(decision_file())
    kind: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Decision"))
    return framed(number, b"\x00" + kind(**fields).SerializeToString())


def twelve(registry: RegistryServer) -> list[Kind]:
    """All kinds; their schemas are registered."""
    scored = registry.register("@avro-value", orjson.dumps(PREDICTION).decode())
    checked = registry.register("@checked-value", '{"type":"object"}', "JSON")
    serialized = base64.b64encode(decision_file().SerializeToString()).decode()
    decided = registry.register(
        "@proto-value", "message Decision {}", "PROTOBUF", serialized=serialized
    )
    return [
        Kind(
            "kserve-events",
            "prediction",
            """format = "cloudevents"
filter = "type == 'org.kubeflow.serving.inference.response'"
request_id = "id"
route = "inferenceservicename"
arm = "component"
prediction = "data.predictions[0]"
""",
            lambda r: event(r, {"predictions": [1]}),
            event("e", {"predictions": []}),
            "unmappable",
            "data.predictions[0]",
        ),
        Kind(
            "kserve-v2",
            "prediction",
            """request_id = "id"
route = "model_name"
arm = "model_version"
prediction = "outputs[?name == 'class'] | [0].data[0]"
""",
            lambda r: plain(
                {
                    "model_name": "wage",
                    "model_version": "2",
                    "id": r,
                    "outputs": [
                        {"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.2, 0.8]},
                        {"name": "class", "datatype": "INT64", "shape": [1], "data": [1]},
                    ],
                }
            ),
            plain({"model_name": "wage", "id": "x", "outputs": []}),
            "unmappable",
            "model_version",
        ),
        Kind(
            "nested",
            "prediction",
            """request_id = "meta.trace.id"
route = { value = "wage" }
arm = { header = "model" }
prediction = { path = "answer.approved", type = "number", map = { yes = 1, no = 0 } }
predicted_at_ms = { path = "meta.at", unit = "iso8601" }
""",
            lambda r: (
                None,
                orjson.dumps(
                    {
                        "meta": {"trace": {"id": r}, "at": "2026-11-27T22:00:00Z"},
                        "answer": {"approved": "yes"},
                    }
                ),
                [("model", b"a")],
            ),
            (
                None,
                b'{"meta":{"trace":{"id":"x"},"at":"noon"},"answer":{"approved":"yes"}}',
                [("model", b"a")],
            ),
            "unmappable",
            "meta.at",
        ),
        Kind(
            "by-user",
            "ground-truth",
            """request_id = "request"
label = "clicked"
""",
            lambda r: plain({"request": r, "clicked": 1}, b"user-7"),
            plain({"request": None, "clicked": 1}, b"user-7"),
            "unmappable",
            "request",
        ),
        Kind(
            "keyless",
            "ground-truth",
            """request_id = "request_id"
label = "label"
""",
            lambda r: plain({"request_id": r, "label": 1}),
            (None, b'{"request_id": "x", "label"', []),
            "unreadable",
            "",
        ),
        Kind(
            "quoted",
            "ground-truth",
            """request_id = { key = "@" }
label = "label"
""",
            lambda r: plain({"label": 1}, b'"' + r.encode() + b'"'),
            plain({"label": 1}),
            "unmappable",
            "key @",
        ),
        Kind(
            "avro",
            "prediction",
            """format = "avro"
request_id = "request"
route = { value = "wage" }
arm = "model"
prediction = "score"
""",
            lambda r: (
                None,
                avro(scored, PREDICTION, {"request": r, "model": "a", "score": 1.0}),
                [],
            ),
            (None, avro(9_999, PREDICTION, {"request": "x", "model": "a", "score": 1.0}), []),
            "unknown_schema",
            "",
        ),
        Kind(
            "checked",
            "ground-truth",
            """format = "json-schema"
request_id = "r"
label = "y"
""",
            lambda r: (None, framed(checked, orjson.dumps({"r": r, "y": 1})), []),
            plain({"r": "x", "y": 1}),
            "unreadable",
            "",
        ),
        Kind(
            "rows",
            "ground-truth",
            """format = "debezium"
request_id = "after.request_id"
label = { path = "after.outcome", map = { approved = 1, declined = 0 } }
""",
            lambda r: plain(change("c", None, {"request_id": r, "outcome": "approved"})),
            plain(change("c", None, {"request_id": "x", "outcome": "lost"})),
            "unmappable",
            "after.outcome",
        ),
        Kind(
            "deletes",
            "ground-truth",
            """format = "debezium"
request_id = "row.request_id"
label = "row.y"
""",
            lambda r: plain(change("d", {"request_id": r, "y": 1}, None)),
            plain(change("d", None, None)),
            "unmappable",
            "",
        ),
        Kind(
            "scores",
            "ground-truth",
            """request_id = "conversation"
parts_of = "scores"
""",
            lambda r: plain({"conversation": r, "scores": {"helpful": 0.5, "safe": 0.5}}),
            plain({"conversation": "x", "scores": {"helpful": {"value": 0.5}}}),
            "unmappable",
            "scores.helpful",
        ),
        Kind(
            "proto",
            "prediction",
            """format = "protobuf"
request_id = "request"
route = { value = "wage" }
arm = "model"
prediction = { path = "yes", type = "number" }
""",
            lambda r: (None, decision(decided, request=r, model="a", yes=True), []),
            (None, decision(decided, request="x", yes=True), []),
            "unmappable",
            "model",
        ),
    ]
