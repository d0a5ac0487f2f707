"""One agent for each source topic, and how its partitions are taken over."""

from typing import Final

from leverframe.agents.settings import Settings
from leverframe.agents.worker.inputs import Inputs
from leverframe.streams.runtime.lanes import HopSettings
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.positions import PositionLedger, open_positions
from leverframe.streams.sources.compiled import TopicSources, compile_sources

__all__ = ["agents_of_sources", "open_source"]

log = make_logger()

_PREFIX: Final = "ingest-"


def agents_of_sources(settings: Settings) -> dict[str, TopicSources]:
    """Compile all sources, by the name of the agent that reads their topic."""
    compiled = compile_sources(settings.sources, settings.app.max_value_bytes)
    return {_PREFIX + topic: sources for topic, sources in compiled.items()}


async def open_source(
    settings: HopSettings, sources: TopicSources, inputs: Inputs, partition: int
) -> PositionLedger:
    """Take a partition over, and read it on from where its earlier owners came to."""
    ledger = await open_positions(settings, sources.topic, partition)
    try:
        await inputs.begin_source(sources, ledger)
    except BaseException:
        # Cancelled too: the partition left meanwhile.
        await ledger.close()
        raise
    log.info(
        "source_opened",
        message=f"{ledger.name}: open, from offset {ledger.positions.offsets[sources.topic]}",
        topic=sources.topic,
        partition=partition,
    )
    return ledger
