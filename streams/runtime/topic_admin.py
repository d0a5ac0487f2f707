"""Creates and checks the topics of DESIGN.md section 4 on a broker."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.connect import explain, find_error
from leverframe.streams.runtime.kafka import BrokerSettings, client_options
from leverframe.streams.topology import DeclaredTopic

__all__ = ["TopicFinding", "check_topics", "create_topics", "judge_topic"]

_EXISTS: Final = 36


class TopicFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a topic, by its full name; ``detail`` says what is wrong, and the cure."""

    topic: str
    state: Literal["ok", "created", "missing", "wrong"]
    detail: str = ""


async def _connected(broker: BrokerSettings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**client_options(broker), request_timeout_ms=10_000)
    try:
        await admin.start()
    except (KafkaConnectionError, KafkaError, OSError) as error:
        await admin.close()
        raise BrokerError(explain(await find_error(broker), broker)) from error
    return admin


async def _findings(
    admin: AIOKafkaAdminClient, declared: Sequence[DeclaredTopic]
) -> list[TopicFinding]:
    existing = set(await admin.list_topics())
    # Asked for by name, a topic that is missing would be created where brokers allow it.
    present = [topic.name for topic in declared if topic.name in existing]
    described = await admin.describe_topics(present) if present else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    return [judge_topic(topic, counts.get(topic.name)) for topic in declared]


def judge_topic(topic: DeclaredTopic, partitions: int | None) -> TopicFinding:
    """Compare a topic's number of partitions with what was declared; None where it is missing."""
    if partitions is None:
        return TopicFinding(
            topic=topic.name, state="missing", detail="create it: leverframe topics create"
        )
    if partitions != topic.partitions:
        return TopicFinding(
            topic=topic.name,
            state="wrong",
            detail=f"has {partitions} partitions, the settings say {topic.partitions}. Change "
            "[topics] partitions or route_partitions, or make the topic anew: halves of a pair "
            "meet only when the counts agree.",
        )
    return TopicFinding(topic=topic.name, state="ok")


async def check_topics(
    broker: BrokerSettings, declared: Sequence[DeclaredTopic]
) -> list[TopicFinding]:
    """Compare the broker's topics with the declared ones, in their order.

    Raises ``BrokerError`` if no broker answers.
    """
    admin = await _connected(broker)
    try:
        return await _findings(admin, declared)
    finally:
        await admin.close()


async def create_topics(
    broker: BrokerSettings, declared: Sequence[DeclaredTopic], replication: int
) -> list[TopicFinding]:
    """Create what is missing, leave what exists as it is; one finding for each topic, in order.

    Raises ``BrokerError`` if no broker answers, or it refuses to create a topic.
    """
    admin = await _connected(broker)
    try:
        findings = await _findings(admin, declared)
        missing = {finding.topic for finding in findings if finding.state == "missing"}
        await _create(admin, [topic for topic in declared if topic.name in missing], replication)
        return [
            TopicFinding(topic=f.topic, state="created") if f.topic in missing else f
            for f in findings
        ]
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, topics: Iterable[DeclaredTopic], replication: int
) -> None:
    new = [
        NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.config)
        for topic in topics
    ]
    answer = await admin.create_topics(new) if new else None
    for name, code, *message in answer.topic_errors if answer else ():
        if code not in {0, _EXISTS}:
            raise BrokerError(f"the broker refused to create {name}: {message or code}")
