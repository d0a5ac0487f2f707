"""Writes what five estates hold to their topics: ``python -m examples.estates NAME``.

The settings that read them lie in ``examples/sources``. Nothing here knows of Leverframe: it stands
for producers that were there first.
"""

import argparse
import asyncio
import io
import json
import os
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import fastavro
from aiokafka import AIOKafkaProducer

__all__ = ["ESTATES", "Sent"]

BROKER: Final = os.environ.get("LEVERFRAME_BROKER", "127.0.0.1:9092")
REGISTRY: Final = os.environ.get("LEVERFRAME_REGISTRY__URL", "http://127.0.0.1:8081")


class Sent(NamedTuple):
    """A record: topic, key, value, headers."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


Register = Callable[[str, dict[str, Any]], int]
"""From a subject and its schema to the schema's id."""


def _json(topic: str, value: Any, key: str | None = None, **headers: str) -> Sent:
    told = [(name, text.encode()) for name, text in headers.items()]
    return Sent(topic, None if key is None else key.encode(), json.dumps(value).encode(), told)


def _kserve(count: int, rng: random.Random, register: Register) -> Iterator[Sent]:
    del register
    for at in range(count):
        arm, name = rng.choice(["default", "canary"]), f"inf-{at}"
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": name,
            "ce_source": "http://localhost:9081/",
            "ce_time": "2026-11-27T22:00:00Z",
            "ce_inferenceservicename": "wage",
            "ce_component": arm,
        }
        told = {"model_name": "wage", "outputs": [{"name": "class", "data": [1]}]}
        for kind, body in (("request", {"inputs": []}), ("response", told)):
            kinds = {"ce_type": f"org.kubeflow.serving.inference.{kind}"}
            yield _json("kserve.inference-log", body, None, **attributes, **kinds)
        band = "high" if rng.random() < (0.9 if arm == "canary" else 0.7) else "low"
        yield _json("hr.outcomes", {"inference": name, "band": band}, f"customer-{at % 50}")


def _table(count: int, rng: random.Random, register: Register) -> Iterator[Sent]:
    del register
    for at in range(count):
        arm = rng.choice(["s1", "s2"])
        row = {"id": at, "scorecard": arm, "approved": True, "outcome": None}
        row["created_at"] = time.time_ns() // 1_000
        outcome = "repaid" if rng.random() < (0.9 if arm == "s2" else 0.7) else "defaulted"
        known = {**row, "outcome": outcome}
        for op, before, after in (("c", None, row), ("u", row, known)):
            event = {"op": op, "before": before, "after": after, "source": {}}
            yield _json(
                "core.public.applications", {"schema": {}, "payload": event}, f'{{"id":{at}}}'
            )


SCORE: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Score",
    "fields": [
        {"name": "payment", "type": "string"},
        {"name": "score", "type": "double"},
        {
            "name": "model",
            "type": {
                "type": "record",
                "name": "Model",
                "fields": [{"name": "version", "type": "string"}],
            },
        },
    ],
}
CHARGEBACK: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Chargeback",
    "fields": [
        {"name": "payment", "type": "string"},
        {"name": "fraudulent", "type": "int"},
        {"name": "reported_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


def _avro(count: int, rng: random.Random, register: Register) -> Iterator[Sent]:
    ids = {name: register(f"payments.{name}-value", schema) for name, schema in _SUBJECTS.items()}
    for at in range(count):
        arm, name = rng.choice(["v1", "v2"]), f"pay-{at}"
        score = {"payment": name, "score": 0.9, "model": {"version": arm}}
        is_right = rng.random() < (0.9 if arm == "v2" else 0.7)
        now_ms = time.time_ns() // 1_000_000
        back = {"payment": name, "fraudulent": int(is_right), "reported_at": now_ms}
        card = f"card-{at % 50}".encode()
        for topic, datum in (("scores", score), ("chargebacks", back)):
            out = io.BytesIO()
            fastavro.schemaless_writer(out, fastavro.parse_schema(_SUBJECTS[topic]), datum)
            framed = b"\0" + ids[topic].to_bytes(4, "big") + out.getvalue()
            yield Sent(f"payments.{topic}", card, framed, [])


_SUBJECTS: Final = {"scores": SCORE, "chargebacks": CHARGEBACK}


def _clicks(count: int, rng: random.Random, register: Register) -> Iterator[Sent]:
    del register
    for at in range(count):
        arm, user = rng.choice(["popular", "personal"]), f"user-{at % 50}"
        shown = {"event": "impression", "impression": f"imp-{at}", "ranking": f"ranker:{arm}"}
        yield _json("web.events", {**shown, "items": ["a"], "ts": int(time.time())}, user)
        if rng.random() < (0.4 if arm == "personal" else 0.2):
            yield _json("web.events", {"event": "click", "impression": f"imp-{at}"}, user)
            if rng.random() < 0.3:
                yield _json("web.events", {"event": "order", "impression": f"imp-{at}"}, user)


def _feedback(count: int, rng: random.Random, register: Register) -> Iterator[Sent]:
    del register
    for at in range(count):
        arm, turn = rng.choice(["small", "large"]), {"conversation": f"c-{at // 3}", "turn": at % 3}
        yield _json("chat.turns", {**turn, "model": arm, "text": "..."})
        good = rng.random() < (0.9 if arm == "large" else 0.6)
        scores = {"helpful": 0.9 if good else 0.3, "grounded": 0.8 if good else 0.5}
        yield _json("chat.judgements", {**turn, "scores": scores})
        if rng.random() < 0.3:
            yield _json("chat.thumbs", {**turn, "thumb": "up" if good else "down"})


ESTATES: Final = {
    "kserve": _kserve,
    "table": _table,
    "avro": _avro,
    "clicks": _clicks,
    "feedback": _feedback,
}


def _register(subject: str, schema: dict[str, Any]) -> int:
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    url = f"{REGISTRY}/subjects/{subject}/versions"
    asked = urllib.request.Request(url, body, kind)  # noqa: S310 - the user's own registry
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        return int(json.load(answer)["id"])


async def _send(name: str, count: int, seed: int, prefix: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=BROKER, linger_ms=5)
    await producer.start()
    try:
        made = ESTATES[name](count, random.Random(seed), _register)  # noqa: S311 - seeded
        for topic, key, value, headers in made:
            await producer.send(prefix + topic, value, key=key, headers=headers)
    finally:
        await producer.stop()


def main() -> None:
    """Write one estate's records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=ESTATES)
    parser.add_argument("--count", type=int, default=300, help="requests")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prefix", default="", help="before the name of each topic")
    options = parser.parse_args()
    asyncio.run(_send(options.name, options.count, options.seed, options.prefix))
    print(f"{options.count} requests of {options.name}, with what came of them")


if __name__ == "__main__":
    main()
