"""Rewards and control messages in the words of others: CloudEvents headers, copies in Avro.

What the job itself and subscribers read stays JSON. Where ``[topics] format`` is ``avro``, each
record is written once more, in the same transaction, framed by the id of its schema. Where
``[topics] cloudevents`` is set, the JSON records have the headers of an event in binary mode.
"""

import asyncio
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect

from leverframe.agents.ingest.registry import Registry, subject_of
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import encode_reward
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.ledger import Output

__all__ = ["InTheirWords", "avro_schema", "in_their_words"]

_NAMESPACE: Final = "leverframe"
_FRAME: Final = b"\0"

SchemaIds = Mapping[type[Struct], int]
"""Ids of the schemas of copies, by the record's type; empty where no copies are asked for."""


def avro_schema(kind: type[Struct]) -> dict[str, Any]:
    """Return the Avro schema of a record; what may be left out has a default.

    Maps of anything, such as a cause, are JSON in a string: no schema says what they hold.
    """
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is no struct")
    fields = []
    for one in info.fields:
        told: dict[str, Any] = {"name": one.name, "type": _avro_type(one.type)}
        if not one.required:
            told["default"] = one.default if one.default is not msgspec.NODEFAULT else []
        fields.append(told)
    return {"type": "record", "name": kind.__name__, "namespace": _NAMESPACE, "fields": fields}


_PLAIN: Final[Mapping[type, str]] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "long",
    inspect.FloatType: "double",
}


def _avro_type(of: Any) -> Any:
    match of:
        case inspect.Metadata():
            return _avro_type(of.type)
        case inspect.UnionType():
            inner = [one for one in of.types if not isinstance(one, inspect.NoneType)]
            return ["null", _avro_type(inner[0])]
        case inspect.ListType():
            return {"type": "array", "items": _avro_type(of.item_type)}
        case inspect.DictType() if not isinstance(of.value_type, inspect.AnyType):
            return {"type": "map", "values": _avro_type(of.value_type)}
        case _:
            return _PLAIN.get(type(of), "string")


async def _register_schemas(settings: Settings) -> SchemaIds:
    """Register the schemas of copies, where any are asked for; raises ``RegistryError``."""
    if settings.topics.format != "avro":
        return {}
    topics = settings.topic_names
    registry = Registry(settings.registry)
    strategy = settings.registry.subject_strategy
    ids: dict[type[Struct], int] = {}
    try:
        for kind, topic in ((Reward, topics.rewards_avro), (ControlMessage, topics.control_avro)):
            subject = subject_of(strategy, topic, f"{_NAMESPACE}.{kind.__name__}")
            text = msgspec.json.encode(avro_schema(kind)).decode()
            ids[kind] = await registry.register(subject, "AVRO", text)
    finally:
        await registry.close()
    return ids


class InTheirWords:
    """Writes rewards and control messages as ``[topics]`` asks for."""

    def __init__(self, settings: Settings, ids: SchemaIds) -> None:
        topics = settings.topic_names
        self._topics = {Reward: topics.rewards, ControlMessage: topics.control}
        self._copies = {Reward: topics.rewards_avro, ControlMessage: topics.control_avro}
        self._is_event = settings.topics.cloudevents
        self._source = f"/leverframe/{topics.prefix}{settings.app.id}"
        self._writers = {kind: _writer(kind, number) for kind, number in ids.items()}

    def rewards(
        self, rewards: Iterable[Reward], target: Callable[[str], tuple[int, bytes]]
    ) -> list[Output]:
        """Return rewards as outputs, and their copies; ``target`` gives partition and key."""
        topic, made = self._topics[Reward], list[Output]()
        for one in rewards:
            name = f"{one.request_id}/{one.arm}/{one.revision}"
            headers = self._headers("reward", name, one.route, one.attributed_at_ms)
            output = Output(topic, *target(one.route), encode_reward(one), headers)
            made += self.with_copy(output, one)
        return made

    def control(self, output: Output, message: ControlMessage) -> Sequence[Output]:
        """Return a control message's output with its headers, and its copy."""
        name = f"{message.route}/{message.epoch}.{message.seq}"
        headers = self._headers("control", name, message.route, message.issued_at_ms)
        told = msgspec.structs.replace(output, headers=[*output.headers, *headers])
        return self.with_copy(told, message)

    def with_copy(self, output: Output, record: Struct) -> Sequence[Output]:
        """Return an output, and its record in Avro beside it where that is asked for."""
        write = self._writers.get(type(record))
        if write is None:
            return (output,)
        topic = self._copies[type(record)]
        return output, Output(topic, output.partition, output.key, write(record))

    def _headers(self, kind: str, name: str, route: str, at_ms: int) -> list[tuple[str, bytes]]:
        if not self._is_event:
            return []
        at = datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
        told = {
            "ce_specversion": "1.0",
            "ce_id": name,
            "ce_source": self._source,
            "ce_type": f"leverframe.{kind}.v1",
            "ce_subject": route,
            "ce_time": at,
            "content-type": "application/json",
        }
        return [(header, text.encode()) for header, text in told.items()]


def _writer(kind: type[Struct], number: int) -> Callable[[Any], bytes]:
    import fastavro

    schema = fastavro.parse_schema(avro_schema(kind))
    texts = {
        one["name"] for one in avro_schema(kind)["fields"] if one["type"] == "string"
    }  # fmt: skip
    frame = _FRAME + number.to_bytes(4, "big")

    def write(record: Any) -> bytes:
        told: dict[str, Any] = msgspec.to_builtins(record)
        for name in texts & told.keys():
            if not isinstance(told[name], str):
                told[name] = msgspec.json.encode(told[name]).decode()
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, told)
        return frame + out.getvalue()

    return write


def in_their_words(settings: Settings) -> InTheirWords | None:
    """Return what writes in the words of others; None where nobody asks for it.

    Registers schemas; raises ``RegistryError``. Not to be called in a running loop.
    """
    topics = settings.topics
    if topics.format == "json" and not topics.cloudevents:
        return None
    return InTheirWords(settings, asyncio.run(_register_schemas(settings)))
