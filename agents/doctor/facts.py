"""Gathers what the judgements need from a broker that answers; writes nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    for_code,
)
from msgspec import Struct

from leverframe.agents.doctor.losses import read_losses
from leverframe.agents.doctor.newest_records import sample_topic
from leverframe.agents.doctor.permissions import Refusal, probe_rights
from leverframe.agents.doctor.replication import Replicas, replicas_of
from leverframe.agents.doctor.sample import Sample
from leverframe.agents.doctor.workers import WAITING_RECORDS, Group, Progress
from leverframe.agents.ledgers import AGENTS, transactional_id_of
from leverframe.agents.operator.apply import applied_routes
from leverframe.agents.operator.preflight import other_prefixes
from leverframe.agents.operator.standing import PolicyInForce, policies_by_command
from leverframe.agents.settings import Settings
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.serving.patches import read_any_record
from leverframe.streams.runtime.attendance import owned_partitions
from leverframe.streams.runtime.connect import TIMEOUT_MS, connect
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.ledger import Loss
from leverframe.streams.runtime.topic_admin import TopicFinding, check_topics

__all__ = ["Facts", "gather_facts", "topic_configs"]

# Faust commits once a second.
_WATCH_S: Final = 3.0
_COORDINATOR_TRIES: Final = 5


class Facts(Struct, frozen=True, kw_only=True):
    """What is so.

    Attributes
    ----------
    cluster_id : str
        As the broker says.
    brokers : dict of str to bool
        Address of each broker, and whether it answers.
    topics : list of TopicFinding
        As ``leverframe topics check``.
    partitions : dict of str to int
        Of the topics that exist, by full name.
    replicas : dict of str to Replicas
        Copies of the same topics.
    configs : dict of str to dict
        Kafka's settings of the topics that could be read.
    refused : list of Refusal
        Rights that are missing.
    asked : int
        Rights that were tried.
    samples : dict of str to Sample
        Newest records of both input topics and of ``control``.
    group : Group
        The workers.
    other_prefixes : list of str
        Under which an application's topics lie, beside the one of the settings.
    policies : dict of str to PolicyInForce
        Those that commands chose, by route.
    applied : dict of str to AppliedSettings
        Settings that were applied, by route.
    losses : dict of str to Loss
        What the ledgers never read, by topic.
    taken_at_ms : int
        Wall time, ms since the epoch.
    """

    cluster_id: str
    brokers: dict[str, bool]
    topics: list[TopicFinding]
    partitions: dict[str, int]
    replicas: dict[str, Replicas]
    configs: dict[str, dict[str, str]]
    refused: list[Refusal]
    asked: int
    samples: dict[str, Sample]
    group: Group
    other_prefixes: list[str] = []
    policies: dict[str, PolicyInForce] = {}
    applied: dict[str, AppliedSettings] = {}
    losses: dict[str, Loss] = {}
    taken_at_ms: int = 0


async def gather_facts(settings: Settings) -> Facts:
    """Ask the broker."""
    read_any_record()
    topics = settings.topic_names
    name = topics.prefix + settings.app.id
    client = await connect(settings.broker)
    admin = AIOKafkaAdminClient(**client_options(settings.broker), request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
        nodes = sorted(client.cluster.brokers(), key=lambda node: node.nodeId)
        declared = [topic.name for topic in settings.declared_topics()]
        described = await _described_topics(admin, declared)
        partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
        foreign = {source.topic for source in settings.sources.values()}
        ids = {one: transactional_id_of(settings, one, partition=0) for one in AGENTS}
        refused, asked = await probe_rights(client, topics, name, ids, foreign)
        # Those that the job cannot do without, those with the labels first.
        wanted = (topics.predictions, topics.ground_truth, topics.rewards, topics.commands)
        read = {full: partitions[full] for full in wanted if full in partitions}
        inputs = {full: read[full] for full in wanted[:2] if full in read}
        return Facts(
            cluster_id=(await admin.describe_cluster())["cluster_id"] or "without an id",
            brokers={f"{n.host}:{n.port}": await client.ready(n.nodeId) for n in nodes},
            topics=await check_topics(settings.broker, settings.declared_topics()),
            partitions=partitions,
            replicas={topic["topic"]: replicas_of(topic) for topic in described},
            configs=await topic_configs(admin, partitions),
            refused=refused,
            asked=asked,
            samples={
                full: await _sample(settings, full, partitions, refused)
                for full in (*inputs, topics.control)
            },
            group=await _group(settings, admin, name, inputs, read),
            other_prefixes=other_prefixes(topics.prefix, await admin.list_topics()),
            policies=await _policies(settings, partitions, refused),
            applied=await _applied(settings, partitions, refused),
            losses=await _losses(settings, partitions, refused),
            taken_at_ms=time.time_ns() // 1_000_000,
        )
    finally:
        await admin.close()
        await client.close()


async def _described_topics(admin: Any, names: list[str]) -> list[dict[str, Any]]:
    # Asked for by name, a topic that is missing would be created where brokers allow it.
    existing = set(await admin.list_topics())
    present = [name for name in names if name in existing]
    described: list[dict[str, Any]] = await admin.describe_topics(present) if present else []
    return described


async def topic_configs(admin: Any, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return Kafka's settings of those topics that this user may read."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    answers = await admin.describe_configs(resources)
    return {
        name: {key: value for key, value, *_ in entries}
        for answer in answers
        for code, _, _, name, entries in answer.resources
        if code == 0
    }


async def _sample(
    settings: Settings, topic: str, partitions: Mapping[str, int], refused: list[Refusal]
) -> Sample:
    if topic not in partitions:
        return Sample(failure="there is no such topic")
    if any(one.operation == "Read" and one.name == topic for one in refused):
        return Sample(failure="this user may not read it")
    return await sample_topic(settings.broker, topic, partitions[topic])


async def _policies(
    settings: Settings, partitions: Mapping[str, int], refused: list[Refusal]
) -> dict[str, PolicyInForce]:
    """Those that commands chose; none where that cannot be read, which another check tells."""
    changelog = settings.topic_names.learning_changelog
    if changelog not in partitions or any(one.name == changelog for one in refused):
        return {}
    return await policies_by_command(settings, partitions[changelog])


async def _applied(
    settings: Settings, partitions: Mapping[str, int], refused: list[Refusal]
) -> dict[str, AppliedSettings]:
    """Those that commands applied; none where that cannot be read, which another check tells."""
    topic = settings.topic_names.route_settings
    if topic not in partitions or any(one.name == topic for one in refused):
        return {}
    return await applied_routes(settings)


async def _losses(
    settings: Settings, partitions: Mapping[str, int], refused: list[Refusal]
) -> dict[str, Loss]:
    """What the ledgers tell; nothing where they cannot be read, which another check tells."""
    topics = settings.topic_names
    unreadable = {one.name for one in refused}
    changelogs = {
        name: partitions[name]
        for name in (topics.attribution_changelog, topics.learning_changelog)
        if name in partitions and name not in unreadable
    }
    return await read_losses(settings.broker, changelogs)


async def _group(
    settings: Settings,
    admin: Any,
    name: str,
    inputs: Mapping[str, int],
    read: Mapping[str, int],
) -> Group:
    """Members, what they read, and lag; looked at twice where something waits: it may move."""
    tps = _partitions(inputs)
    try:
        async with open_consumer(settings.broker) as consumer:
            code, _, state, _, _, members, *_ = await _described(admin, name)
            if code:
                return Group(name=name, failure=for_code(code).__name__)
            removed = await _removed(consumer, admin, name, tps)
            before, waiting = await _lag(consumer, admin, name, tps)
            watched_s, after = 0.0, before
            if members and any(count > WAITING_RECORDS for count in waiting.values()):
                began = time.monotonic()
                await asyncio.sleep(_WATCH_S)
                after, waiting = await _lag(consumer, admin, name, tps)
                watched_s = time.monotonic() - began
    except KafkaError as error:
        return Group(name=name, failure=repr(error)[:200])
    return Group(
        name=name,
        state=state,
        members=[host.lstrip("/") for _, _, host, *_ in members],
        unread=sorted(set(_partitions(read)) - owned_partitions(one[4] for one in members)),
        progress={
            topic: Progress(waiting=waiting[topic], moved=after[topic] - before[topic])
            for topic in inputs
        },
        watched_s=watched_s,
        removed=removed,
    )


def _partitions(counts: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]


async def _described(admin: Any, name: str) -> Any:
    """The group as the broker knows it; the first question ever makes it set up its own topic."""
    for _ in range(_COORDINATOR_TRIES):
        try:
            return (await admin.describe_consumer_groups([name]))[0].groups[0]
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
            await asyncio.sleep(1)
    return (await admin.describe_consumer_groups([name]))[0].groups[0]


async def _removed(
    consumer: Any, admin: Any, group: str, tps: list[TopicPartition]
) -> dict[str, int]:
    """Offsets that are gone from the log and were not yet committed, by topic."""
    committed = await admin.list_consumer_group_offsets(group)
    begins = await consumer.beginning_offsets(tps)
    removed: Counter[str] = Counter()
    for tp in tps:
        if tp in committed and 0 <= committed[tp].offset < begins[tp]:
            removed[tp.topic] += begins[tp] - committed[tp].offset
    return dict(removed)


async def _lag(
    consumer: Any, admin: Any, group: str, tps: list[TopicPartition]
) -> tuple[dict[str, int], dict[str, int]]:
    """Committed offsets together, and offsets that wait, by topic."""
    committed = await admin.list_consumer_group_offsets(group)
    begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    read: dict[str, int] = dict.fromkeys((tp.topic for tp in tps), 0)
    waiting = dict(read)
    for tp in tps:
        # Nothing committed yet: the worker begins at the start of the log.
        place = max(committed[tp].offset if tp in committed else 0, begins[tp])
        read[tp.topic] += place
        waiting[tp.topic] += max(0, ends[tp] - place)
    return read, waiting
