"""The topics of one round: preloaded once, drained by every contender."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from msgspec import Struct

from bench.peers.contender import Contender, Job, Totals
from bench.rig.load import expected_totals, pairs, preload
from leverframe.agents.settings import Settings, load_settings
from leverframe.streams.runtime.topic_admin import create_topics
from leverframe.streams.topology import DeclaredTopic

__all__ = ["LABEL_DELAY_MS", "PAIRS_PER_MS", "Scene", "make_job", "scene"]

PAIRS_PER_MS: Final = 50
"""Of record time: the backlog of a system at 100,000 events a second."""

LABEL_DELAY_MS: Final = 1000


class Scene(Struct, frozen=True, kw_only=True):
    """Preloaded topics, and what draining them must come to.

    Attributes
    ----------
    settings : Settings
        Name the topics.
    pairs : int
        Predictions, and as many labels.
    expected : dict
        Totals of every arm.
    """

    settings: Settings
    pairs: int
    expected: Totals

    @property
    def total(self) -> int:
        """Records of both topics together."""
        return 2 * self.pairs


@asynccontextmanager
async def scene(servers: str, count: int, seed: int) -> AsyncIterator[Scene]:
    """Make and fill the topics of a round; delete everything with their prefix at its end."""
    prefix = f"b{uuid.uuid4().hex[:6]}-"
    settings = load_settings(
        None, {"LEVERFRAME_BROKER": servers, "LEVERFRAME_TOPICS__PREFIX": prefix}
    )
    await create_topics(settings.broker, settings.declared_topics(), 1)
    topics, partitions = settings.topic_names, settings.topics.partitions
    span_ms = count // PAIRS_PER_MS
    begin_ms = time.time_ns() // 1_000_000 - span_ms - LABEL_DELAY_MS
    made = list(pairs(count, seed=seed))
    for topic, delay_ms, records in (
        (topics.predictions, 0, (row[1] for row in made)),
        (topics.ground_truth, LABEL_DELAY_MS, (row[2] for row in made)),
    ):
        times_ms = (begin_ms + delay_ms + at // PAIRS_PER_MS for at in range(count))
        await preload(servers, topic, partitions, records, times_ms)
    try:
        yield Scene(settings=settings, pairs=count, expected=expected_totals(count, seed=seed))
    finally:
        await _delete(servers, prefix)


async def make_job(scene: Scene, contender: Contender, folder: Path) -> Job:
    """Create the output topics of a contender and say what it is to do."""
    settings, topics = scene.settings, scene.settings.topic_names
    own = f"{topics.prefix}{contender.name}"
    rewards, aggregates = topics.rewards, topics.learning_changelog
    if not contender.writes_beside_input:
        rewards, aggregates = f"{own}-rewards", f"{own}-aggregates"
        count = settings.topics.route_partitions
        wanted = [
            DeclaredTopic(rewards, count, {}),
            DeclaredTopic(aggregates, count, {"cleanup.policy": "compact"}),
        ]
        await create_topics(settings.broker, wanted, 1)
    return Job(
        servers=settings.broker.servers,
        name=own,
        predictions=topics.predictions,
        labels=topics.ground_truth,
        rewards=rewards,
        aggregates=aggregates,
        partitions=settings.topics.partitions,
        pairs=scene.pairs,
        folder=folder,
    )


async def _delete(servers: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if name.startswith(prefix)]
        await admin.delete_topics(topics)
    finally:
        await admin.close()
