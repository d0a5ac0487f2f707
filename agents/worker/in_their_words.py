"""Rewards and control messages in the words of others: CloudEvents headers, Avro and Protobuf.

What the job itself and subscribers read stays JSON. Where ``[topics] format`` is another, each
record is written once more, in the same transaction, framed by the id of its schema. Where
``[topics] cloudevents`` is set, the JSON records have the headers of an event in binary mode.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from leverframe.agents.ingest.registry import Registry, subject_of
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import encode_reward
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.ledger import Output

__all__ = ["InTheirWords", "in_their_words"]

_NAMESPACE: Final = "leverframe"
_FRAME: Final = b"\0"
_KINDS: Final[tuple[type[Struct], ...]] = (Reward, ControlMessage)


class Copy(Protocol):
    """Writes a kind of record in a format of others."""

    registered_as: str
    schema: str

    def encode(self, record: Any) -> bytes:
        """Return what comes after a registry's frame."""


FramedCopy = tuple[Copy, bytes]
"""What writes a copy, and the frame before it, which holds the id of its schema."""


async def _registered(settings: Settings) -> dict[type[Struct], FramedCopy]:
    """Register the schemas of copies, where any are asked for; raises ``RegistryError``."""
    if settings.topics.format == "json":
        return {}
    copies = settings.topic_names.copies(settings.topics.format)
    registry = Registry(settings.registry)
    strategy = settings.registry.subject_strategy
    framed: dict[type[Struct], FramedCopy] = {}
    try:
        for kind, topic in zip(_KINDS, copies, strict=True):
            copy = _copy(settings.topics.format, kind)
            subject = subject_of(strategy, topic, f"{_NAMESPACE}.{kind.__name__}")
            number = await registry.register(subject, copy.registered_as, copy.schema)
            framed[kind] = copy, _FRAME + number.to_bytes(4, "big")
    finally:
        await registry.close()
    return framed


def _copy(name: str, kind: type[Struct]) -> Copy:
    """What it needs is loaded where it is asked for."""
    if name == "avro":
        from leverframe.streams.copies.avro import AvroCopy

        return AvroCopy(kind)
    from leverframe.streams.copies.protobuf import ProtobufCopy

    return ProtobufCopy(kind)


class InTheirWords:
    """Writes rewards and control messages as ``[topics]`` asks for."""

    def __init__(self, settings: Settings, copies: Mapping[type[Struct], FramedCopy]) -> None:
        topics = settings.topic_names
        self._rewards = topics.rewards
        names = topics.copies(settings.topics.format)
        self._names = dict(zip(_KINDS, names, strict=False))
        self._copies = copies
        self._is_event = settings.topics.cloudevents
        self._source = f"/leverframe/{topics.prefix}{settings.app.id}"

    def rewards(
        self,
        rewards: Iterable[Reward],
        target: Callable[[str], tuple[int, bytes]],
        more_headers: Callable[[Reward], list[tuple[str, bytes]]] | None = None,
    ) -> list[Output]:
        """Return rewards as outputs, and their copies; ``target`` gives partition and key.

        The headers of ``more_headers`` are theirs too.
        """
        made: list[Output] = []
        for one in rewards:
            name = f"{one.request_id}/{one.arm}/{one.revision}"
            headers = self._headers("reward", name, one.route, one.attributed_at_ms)
            if more_headers is not None:
                headers += more_headers(one)
            output = Output(self._rewards, *target(one.route), encode_reward(one), headers)
            made += self.with_copy(output, one)
        return made

    def control(self, output: Output, message: ControlMessage) -> Sequence[Output]:
        """Return a control message's output with its headers, and its copy."""
        name = f"{message.route}/{message.epoch}.{message.seq}"
        headers = self._headers("control", name, message.route, message.issued_at_ms)
        told = msgspec.structs.replace(output, headers=[*output.headers, *headers])
        return self.with_copy(told, message)

    def with_copy(self, output: Output, record: Struct) -> Sequence[Output]:
        """Return an output, and its record in another format beside it where that is asked for."""
        framed = self._copies.get(type(record))
        if framed is None:
            return (output,)
        (copy, frame), topic = framed, self._names[type(record)]
        return output, Output(topic, output.partition, output.key, frame + copy.encode(record))

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


def in_their_words(settings: Settings) -> InTheirWords | None:
    """Return what writes in the words of others; None where nobody asks for it.

    Registers schemas; raises ``RegistryError``. Not to be called in a running loop.
    """
    topics = settings.topics
    if topics.format == "json" and not topics.cloudevents:
        return None
    return InTheirWords(settings, asyncio.run(_registered(settings)))
