"""Looks at the topics of sources without committing anything: what their records would become."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from msgspec import Struct

from leverframe.agents.ingest.registry import Registry, subject_of
from leverframe.agents.operator.topics import read_back
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError, RegistryError
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import Session
from leverframe.streams.attribution.sharing import LabelSource, share_labels
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.sources.compiled import compile_source, ids_in, make_format
from leverframe.streams.sources.documents import FormatError, Schemas
from leverframe.streams.sources.inference import Proposal, propose
from leverframe.streams.sources.mapping import Canonical, Fault, Mapped, SourceMapping
from leverframe.streams.sources.recognised import recognise

__all__ = ["Tried", "infer_source", "try_source"]

# Of each topic that may hold the other half.
_OTHERS: Final = 1_000
# When every label of a session has been counted.
_AT_THE_END_MS: Final = 2**62


class Tried(Struct, frozen=True):
    """A record of a source and what it would become.

    Attributes
    ----------
    record : Any
        As it was read.
    mapped : list of Canonical or Fault
        See ``SourceMapping.map``.
    rewards : sequence of Reward
        What the join would make of it with the other halves that lie near the ends of their topics;
        the newest of each request and arm.
    """

    record: Any
    mapped: Mapped
    rewards: Sequence[Reward]


class _Joinable(Struct, frozen=True):
    """A record of ours as the join reads it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


async def try_source(
    settings: Settings, name: str, sample: int, partitions: Mapping[str, int]
) -> list[Tried]:
    """Map the newest records of a source, and join them with what other topics hold.

    ``partitions`` are those of each topic on the broker. Raises ``LeverframeError`` for a source
    that the settings do not have, and where a registry or the broker gives no answer.
    """
    if name not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise LeverframeError(f"the settings have no source {name!r}; they have {known}")
    mappings = {
        one: compile_source(one, source, settings.app.max_value_bytes)
        for one, source in settings.sources.items()
    }
    registry = Registry(settings.registry)
    try:
        own = await _mapped(settings, mappings[name], registry, sample, partitions)
        keys = {one.key for _, mapped in own for one in _good(mapped)}
        halves = [(record, one) for record, mapped in own for one in _good(mapped)]
        others = {"ground-truth", "prediction"} - {settings.sources[name].kind}
        for other, mapping in mappings.items():
            if mapping.settings.kind in others and other != name:
                found = await _mapped(settings, mapping, registry, _OTHERS, partitions)
                halves += [(r, one) for r, mapped in found for one in _good(mapped)]
    finally:
        await registry.close()
    joinable = [_joinable(settings, r, one) for r, one in halves if one.key in keys]
    names = settings.topic_names
    kind = settings.sources[name].kind
    topic = names.ground_truth if kind == "prediction" else names.predictions
    joinable += [
        record
        for record in await _newest(settings, topic, _OTHERS, partitions)
        if record.key in keys
    ]
    rewards = _rewards(settings, joinable)
    return [
        Tried(record, mapped, [r for one in _good(mapped) for r in rewards.get(one.request_id, ())])
        for record, mapped in own
    ]


def _good(mapped: Mapped) -> list[Canonical]:
    return [] if isinstance(mapped, Fault) else mapped


async def _mapped(
    settings: Settings,
    mapping: SourceMapping,
    registry: Registry,
    sample: int,
    partitions: Mapping[str, int],
) -> list[tuple[Any, Mapped]]:
    records = await _newest(settings, mapping.settings.topic, sample, partitions)
    if mapping.form.is_framed:
        await registry.load(ids_in(records))
    return [(record, mapping.map(record, registry.schemas)) for record in records]


async def _newest(
    settings: Settings, topic: str, sample: int, partitions: Mapping[str, int]
) -> list[Any]:
    """Read the newest records of a topic, in the order of their times."""
    found: list[Any] = []
    for partition in range(partitions.get(topic, 0)):
        tp = TopicPartition(topic, partition)
        read = await read_back(
            settings.broker, tp, lambda _: True, lambda kept: len(kept) >= sample
        )
        found += read[-sample:]
    found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    return found[-sample:]


def _joinable(settings: Settings, record: Any, one: Canonical) -> _Joinable:
    names = settings.topic_names
    topic = names.predictions if one.kind == "prediction" else names.ground_truth
    key = one.key
    return _Joinable(topic, record.partition, record.offset, record.timestamp, key, one.value)


def _rewards(settings: Settings, halves: Iterable[Any]) -> dict[str, list[Reward]]:
    """What the join makes of these halves, by request: the newest of each arm."""
    predictions = settings.topic_names.predictions
    batches = [
        (is_prediction, [one for one in halves if (one.topic == predictions) == is_prediction])
        for is_prediction in (True, False)
    ]
    routes = compile_routes(settings.routes)
    outcome = attribute(
        batches,
        {},
        routes,
        max_value_bytes=settings.app.max_value_bytes,
        label_topic=settings.topic_names.ground_truth,
    )
    for session_id, kept in outcome.entries.items():
        if isinstance(kept, Session):
            _, shared = share_labels(session_id, kept, _AT_THE_END_MS, routes, LabelSource())
            outcome.rewards += shared.rewards
    newest = {(one.request_id, one.arm): one for one in outcome.rewards}
    by_request: dict[str, list[Reward]] = {}
    for (request, _), reward in newest.items():
        by_request.setdefault(request, []).append(reward)
    return by_request


async def infer_source(
    settings: Settings, topic: str, sample: int, partitions: Mapping[str, int]
) -> tuple[Proposal, int]:
    """Propose the section of a topic from its newest records, or from its schema where it has none.

    Returns it and the number of samples. Raises ``LeverframeError`` where there is nothing to look
    at, or it is in no format that can be read.
    """
    registry = Registry(settings.registry)
    try:
        records = await _newest(settings, topic, sample, partitions)
        if not records:
            return await _of_schema(settings, topic, registry), 0
        framed = ids_in(records)
        if framed and settings.registry.url:
            await registry.load(framed)
        return _proposed(topic, records, registry.schemas), len(records)
    finally:
        await registry.close()


def _proposed(topic: str, records: Sequence[Any], schemas: Schemas) -> Proposal:
    name = recognise(records, schemas)
    if name is None:
        raise LeverframeError(
            f"{topic} is in no format that can be recognised: its newest value begins with "
            f"{(records[-1].value or b'')[:8].hex(' ') or 'nothing'}. A zero byte and an id: set "
            "[registry] url"
        )
    form = make_format(name)
    documents, keys, headers = [], [], []
    for record in records:
        told = dict(record.headers)
        try:
            decoded = form.decode(record.value or b"", told, schemas)
            key = None if record.key is None else form.decode_key(record.key, schemas)
        except FormatError:
            continue
        if decoded.document is not None:
            documents.append(decoded.document)
            keys.append(key)
            headers.append(told)
    return propose(topic, name, documents, keys, headers)


async def _of_schema(settings: Settings, topic: str, registry: Registry) -> Proposal:
    nothing = LeverframeError(
        f"{topic} holds no records, and no registry knows an Avro schema of it"
    )
    if not settings.registry.url:
        raise nothing
    found = await registry.latest(subject_of(settings.registry.subject_strategy, topic))
    if found is None or found.kind != "AVRO":
        raise nothing
    from leverframe.streams.sources.formats.avro import avro_example

    try:
        document = avro_example(found.text, [text for _, text in found.references])
    except ValueError as error:
        raise RegistryError(f"the schema of {topic} {error}") from error
    return propose(topic, "avro", [document], [], [])
