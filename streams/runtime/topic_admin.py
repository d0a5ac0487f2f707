"""Creates and checks the topics of DESIGN.md section 4 on a broker."""

from typing import Final, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.connect import explain, first_error
from leverframe.streams.runtime.kafka import BrokerSettings, client_options

__all__ = ["TopicFinding", "check_topics", "create_topics"]

Wanted = list[tuple[str, int, dict[str, str]]]
_EXISTS: Final = 36


class TopicFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of one topic.

    Attributes
    ----------
    topic : str
        Full name.
    state : {"ok", "created", "missing", "wrong"}
        Of the topic.
    detail : str
        What is wrong, and the cure.
    """

    topic: str
    state: Literal["ok", "created", "missing", "wrong"]
    detail: str = ""


async def _connected(broker: BrokerSettings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**client_options(broker), request_timeout_ms=10_000)
    try:
        await admin.start()
    except (KafkaConnectionError, KafkaError, OSError) as error:
        await admin.close()
        raise BrokerError(explain(await first_error(broker), broker)) from error
    return admin


async def _findings(admin: AIOKafkaAdminClient, wanted: Wanted) -> list[TopicFinding]:
    existing = set(await admin.list_topics())
    present = [name for name, _, _ in wanted if name in existing]
    described = await admin.describe_topics(present) if present else []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    findings = []
    for name, partitions, _ in wanted:
        if name not in counts:
            findings.append(
                TopicFinding(
                    topic=name, state="missing", detail="create it: leverframe topics create"
                )
            )
        elif counts[name] != partitions:
            findings.append(
                TopicFinding(
                    topic=name,
                    state="wrong",
                    detail=f"has {counts[name]} partitions, the settings say {partitions}. Change "
                    "[topics] partitions or route_partitions, or make the topic anew: halves of a "
                    "pair meet only when the counts agree.",
                )
            )
        else:
            findings.append(TopicFinding(topic=name, state="ok"))
    return findings


async def check_topics(broker: BrokerSettings, wanted: Wanted) -> list[TopicFinding]:
    """Compare the broker's topics with the declared ones.

    Parameters
    ----------
    broker : BrokerSettings
        How to reach Kafka.
    wanted : list of tuple
        Name, partitions and settings, from ``streams.topology``.

    Returns
    -------
    list of TopicFinding
        One for each topic, in order.

    Raises
    ------
    BrokerError
        If no broker answers.
    """
    admin = await _connected(broker)
    try:
        return await _findings(admin, wanted)
    finally:
        await admin.close()


async def create_topics(
    broker: BrokerSettings, wanted: Wanted, replication: int
) -> list[TopicFinding]:
    """Create what is missing; leave what exists as it is.

    Parameters
    ----------
    broker : BrokerSettings
        How to reach Kafka.
    wanted : list of tuple
        Name, partitions and settings, from ``streams.topology``.
    replication : int
        Replication factor.

    Returns
    -------
    list of TopicFinding
        One for each topic, in order.

    Raises
    ------
    BrokerError
        If no broker answers, or it refuses to create a topic.
    """
    admin = await _connected(broker)
    try:
        findings = await _findings(admin, wanted)
        missing = {finding.topic for finding in findings if finding.state == "missing"}
        new = [
            NewTopic(name, partitions, replication, topic_configs=config)
            for name, partitions, config in wanted
            if name in missing
        ]
        if new:
            answer = await admin.create_topics(new)
            for topic, code, *message in answer.topic_errors:
                if code not in {0, _EXISTS}:
                    raise BrokerError(f"the broker refused to create {topic}: {message or code}")
        return [
            TopicFinding(topic=f.topic, state="created") if f.topic in missing else f
            for f in findings
        ]
    finally:
        await admin.close()
