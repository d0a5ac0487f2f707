"""What each agent of an application keeps and reads, for the worker and for who restarts it."""

from pathlib import Path
from typing import Final, Literal

from leverframe.agents.settings import Settings
from leverframe.streams.runtime.lanes import HopSettings, lane_name
from leverframe.streams.runtime.ledger import LedgerSettings
from leverframe.streams.runtime.store import Memory

__all__ = [
    "AGENTS",
    "AgentName",
    "hop_settings",
    "inputs_of",
    "lanes_of",
    "ledger_settings",
    "partitions_of",
    "transactional_id_of",
]

AgentName = Literal["attribution", "learning"]
AGENTS: Final[tuple[AgentName, ...]] = ("attribution", "learning")


def ledger_settings(settings: Settings, agent: AgentName, memory: Memory) -> LedgerSettings:
    """Return what all ledgers of an agent share."""
    topics = settings.topic_names
    is_learning = agent == "learning"
    return LedgerSettings(
        app_id=topics.prefix + settings.app.id,
        agent=agent,
        changelog=topics.learning_changelog if is_learning else topics.attribution_changelog,
        datadir=Path(settings.app.datadir) / settings.app.id,
        broker=settings.broker,
        memory=memory,
        lanes=lanes_of(settings, agent),
    )


def transactional_id_of(settings: Settings, agent: AgentName, partition: int) -> str:
    """Return the transactional id under which an agent writes for a partition."""
    hop = hop_settings(settings, agent)
    return lane_name(hop, partition, lanes_of(settings, agent))


def hop_settings(settings: Settings, agent: str) -> HopSettings:
    """Return what all partitions of an agent share that keeps nothing but positions."""
    app_id = settings.topics.prefix + settings.app.id
    return HopSettings(app_id=app_id, agent=agent, broker=settings.broker)


def partitions_of(settings: Settings, agent: AgentName) -> int:
    """Return how many partitions an agent has."""
    topics = settings.topics
    return topics.route_partitions if agent == "learning" else topics.partitions


def lanes_of(settings: Settings, agent: AgentName) -> int:
    """Return how many lanes an agent has; 0 where each partition is one of its own."""
    lanes = settings.app.lanes
    return lanes if lanes < partitions_of(settings, agent) else 0


def inputs_of(settings: Settings, agent: AgentName) -> tuple[str, ...]:
    """Return the topics that an agent reads."""
    topics = settings.topic_names
    if agent == "attribution":
        return topics.predictions, topics.ground_truth
    return topics.rewards, topics.commands, topics.control_acks, topics.traffic
