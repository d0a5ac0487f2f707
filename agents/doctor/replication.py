"""Whether topics are copied to enough brokers, and the copies are there."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from leverframe.agents.doctor.findings import Finding, fault, ok, warning

__all__ = ["Replicas", "judge_replication", "replicas_of"]

_CHECK: Final = "replication"
_ENOUGH: Final = 3
_MOVE: Final = "Raise it with kafka-reassign-partitions"


class Replicas(Struct, frozen=True):
    """Copies of a topic: of its worst partition.

    Attributes
    ----------
    wanted : int
        Brokers that should hold the partition.
    in_sync : int
        Brokers that hold it up to date.
    """

    wanted: int
    in_sync: int


def replicas_of(described: Mapping[str, Any]) -> Replicas:
    """Return the copies of a topic as a broker describes it.

    Parameters
    ----------
    described : mapping
        With ``partitions``, each with ``replicas`` and ``isr``.

    Returns
    -------
    Replicas
        The fewest of all partitions; 0 for a topic without any.
    """
    partitions = described["partitions"]
    return Replicas(
        min((len(one["replicas"]) for one in partitions), default=0),
        min((len(one["isr"]) for one in partitions), default=0),
    )


def judge_replication(
    replicas: Mapping[str, Replicas],
    configs: Mapping[str, Mapping[str, str]],
    brokers: int,
    declared: int,
) -> list[Finding]:
    """Judge all topics.

    Parameters
    ----------
    replicas : mapping of str to Replicas
        By topic.
    configs : mapping of str to mapping
        Kafka's settings by topic, for ``min.insync.replicas``.
    brokers : int
        In the cluster.
    declared : int
        ``topics.replication`` of the settings.

    Returns
    -------
    list of Finding
        One ``ok`` where nothing is wrong.
    """
    found = list(_of_topics(replicas, configs, declared))
    fewest = min((copies.wanted for copies in replicas.values()), default=declared)
    if brokers >= _ENOUGH and fewest < _ENOUGH and declared < _ENOUGH:
        found.append(
            warning(
                _CHECK,
                "topics.replication",
                f"is {declared} in a cluster of {brokers} brokers: with one broker its records go",
                f"Set topics.replication = {_ENOUGH}; for topics that exist: {_MOVE.lower()}",
            )
        )
    if found or not replicas:
        return found
    copies = "copy" if fewest == 1 else "copies"
    return [ok(_CHECK, "topics", f"{len(replicas)} topics have {fewest} {copies}, all in sync")]


def _of_topics(
    replicas: Mapping[str, Replicas], configs: Mapping[str, Mapping[str, str]], declared: int
) -> Iterator[Finding]:
    for topic, copies in sorted(replicas.items()):
        least = int(configs.get(topic, {}).get("min.insync.replicas", "1"))
        if copies.in_sync < least:
            yield fault(
                _CHECK,
                topic,
                f"{copies.in_sync} of {copies.wanted} copies are in sync, {least} are needed to "
                "write (min.insync.replicas): nothing can be published",
                "Start the missing broker, or lower min.insync.replicas",
            )
        elif copies.in_sync < copies.wanted:
            yield warning(
                _CHECK,
                topic,
                f"{copies.in_sync} of {copies.wanted} copies are in sync",
                "Look for a broker that is down or cannot keep up",
            )
        if copies.wanted < declared:
            yield warning(
                _CHECK, topic, f"has {copies.wanted} copies, the settings say {declared}", _MOVE
            )
