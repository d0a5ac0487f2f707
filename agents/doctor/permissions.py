"""Whether this user may do what a worker does, asked by requests that cannot succeed.

A broker checks rights before it looks at what is asked. So each right is tried with a request that
must fail for another reason: a fetch beyond the end, partitions for a transaction of a producer
that does not exist, a heartbeat of nobody. Nothing is written, fenced or moved, and the answer
"not authorised" is told from every other one. Without access control all are allowed.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest
from msgspec import Struct

from leverframe.agents.doctor.findings import Finding, fault, ok, warning
from leverframe.streams.topology import Topics

__all__ = ["Refusal", "judge_rights", "probe_rights"]

CHECK: Final = "permissions"
_BEYOND: Final = 1 << 62
_NOBODY: Final = -1
_TRANSACTIONAL: Final = "transactional id"
_TOPIC_REFUSED: Final = 29
_GROUP_REFUSED: Final = 30
_TRANSACTION_REFUSED: Final = 53


class Refusal(Struct, frozen=True, kw_only=True):
    """One right that is missing.

    Attributes
    ----------
    operation : str
        Read or Write, as Kafka names them.
    kind : str
        topic, group or transactional id.
    name : str
        Of the topic, group or transactional id.
    """

    operation: str
    kind: str
    name: str


def judge_rights(
    refused: Iterable[Refusal], topics: Topics, user: str, asked: int
) -> list[Finding]:
    """Name what is missing.

    Parameters
    ----------
    refused : iterable of Refusal
        What the broker answered with "not authorised".
    topics : Topics
        Full names.
    user : str
        For the message; may be empty.
    asked : int
        Number of rights that were tried.

    Returns
    -------
    list of Finding
        One "ok", or one for each missing right.
    """
    found = []
    for refusal in refused:
        # Steering is for people and their tools; a worker does without.
        is_steering = refusal.operation == "Write" and refusal.name == topics.commands
        more = ": steering commands will be refused" if is_steering else ""
        if refusal.kind == _TRANSACTIONAL:
            more = ", so its right to write to topics could not be asked"
        found.append(
            (warning if is_steering else fault)(
                CHECK,
                refusal.name,
                f"{user or 'this user'} may not {refusal.operation.lower()} this {refusal.kind}"
                f"{more}",
                f"Allow {refusal.operation} on it (kafka-acls.sh --add)",
            )
        )
    everything = f"{user or 'this user'} may do all {asked} things a worker does"
    return found or [ok(CHECK, "broker", everything)]


async def probe_rights(
    client: Any, topics: Topics, group: str, ids: Mapping[Any, str], sources: Collection[str] = ()
) -> tuple[list[Refusal], int]:
    """Try every right.

    Parameters
    ----------
    client : AIOKafkaClient
        Connected.
    topics : Topics
        Full names.
    group : str
        Consumer group; also begins the transactional ids.
    ids : dict of str to str
        One transactional id of each agent; an id of another form may fall under other rules.
    sources : collection of str
        Topics of others that are read.

    Returns
    -------
    tuple of list of Refusal and int
        What was refused, and how much was tried.
    """
    reads = [topics.predictions, topics.ground_truth, topics.rewards, topics.commands]
    reads += [topics.control, topics.control_acks, topics.traffic, topics.route_settings]
    reads += [topics.attribution_changelog, topics.learning_changelog]
    writes = {
        ids["attribution"]: [
            topics.rewards,
            topics.traffic,
            topics.dead_letters,
            topics.attribution_changelog,
        ],
        ids["learning"]: [
            topics.control,
            topics.dead_letters,
            topics.learning_changelog,
            topics.commands,
            topics.route_settings,
            topics.audit,
        ],
    }
    reads += sorted(sources)
    writes |= {
        f"{group}-ingest-{name}-0": [topics.predictions, topics.ground_truth, topics.dead_letters]
        for name in sorted(sources)
    }
    groups = [group, *([f"{group}-sources"] if sources else [])]
    refused = await _probe_reads(client, reads)
    refused += await _probe_writes(client, writes)
    for one in groups:
        answer = await client.send(
            client.get_random_node(), HeartbeatRequest(one, _NOBODY, "leverframe-doctor")
        )
        if answer.error_code == _GROUP_REFUSED:
            refused.append(Refusal(operation="Read", kind="group", name=one))
    asked = len(reads) + len({name for names in writes.values() for name in names})
    return refused, asked + len(groups) + len(writes)


async def _probe_reads(client: Any, names: list[str]) -> list[Refusal]:
    request = FetchRequest(0, 0, 1, 0, [(name, [(0, _BEYOND, 1)]) for name in names])
    answer = await client.send(client.get_random_node(), request)
    return [
        Refusal(operation="Read", kind="topic", name=name)
        for name, partitions in answer.topics
        if partitions[0][1] == _TOPIC_REFUSED
    ]


async def _probe_writes(client: Any, writes: Mapping[str, list[str]]) -> list[Refusal]:
    refused: dict[Refusal, None] = {}
    for transactional_id, names in writes.items():
        request = AddPartitionsToTxnRequest(
            transactional_id, _NOBODY, _NOBODY, [(name, [0]) for name in names]
        )
        answer = await client.send(client.get_random_node(), request)
        for name, partitions in answer.errors:
            code = partitions[0][1]
            if code == _TOPIC_REFUSED:
                refused[Refusal(operation="Write", kind="topic", name=name)] = None
            elif code == _TRANSACTION_REFUSED:
                one = Refusal(operation="Write", kind=_TRANSACTIONAL, name=transactional_id)
                refused[one] = None
    return list(refused)
