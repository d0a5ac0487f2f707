"""Exports all that an application keeps to a file, while no worker runs."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

from aiokafka import TopicPartition
from msgspec import Struct, field, structs

import leverframe
from leverframe.agents.ledgers import AGENTS, AgentName, ledger_settings, partitions_of
from leverframe.agents.operator.restart import require_no_member
from leverframe.agents.operator.source_state import read_sources
from leverframe.agents.operator.state_file import (
    FORM,
    Entry,
    Frame,
    Header,
    Kept,
    SourceRead,
    Unread,
    write_state,
)
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.state import decode_route
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.ledger import LAYOUT, Ledger
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

__all__ = ["Contents", "Report", "counted_in", "export_state"]

Report: TypeAlias = Callable[[str], None]
"""Hears how far it is."""

_CACHE_BYTES: Final = 64 << 20
_MOST_UNREAD: Final = 200_000


class Contents(Struct):
    """What a file holds, once all of it was checked.

    Attributes
    ----------
    header : Header
        Where it comes from.
    requests : int
        That wait for their label, or for revisions; indexes of the ledger among them.
    routes : dict of str to int
        Labels that each has counted.
    unread : int
        Rewards and commands that learning has yet to read.
    """

    header: Header
    requests: int = 0
    routes: dict[str, int] = field(default_factory=dict)
    unread: int = 0


async def export_state(settings: Settings, path: Path, report: Report) -> Contents:
    """Write all that the application keeps to a file; ``report`` hears of each partition.

    Earlier owners of the partitions are fenced. Raises ``LeverframeError`` if a worker is in the
    group, or learning is far behind.
    """
    await require_no_member(settings, report)
    header = Header(
        form=FORM,
        layout=LAYOUT,
        written_by=leverframe.__version__,
        application=settings.app.id,
        exported_at_ms=time.time_ns() // 1_000_000,
        partitions={agent: partitions_of(settings, agent) for agent in AGENTS},
    )
    contents = Contents(header)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        ledgers = await _open_all(settings, Path(folder), report)
        try:
            unread = await _unread(settings, [one for agent, one in ledgers if agent == "learning"])
            sources = await read_sources(settings)
            frames = chain(sources, _frames(ledgers, unread, settings.topics.prefix))
            write_state(path, header, counted_in(frames, contents))
        finally:
            for _, ledger in ledgers:
                await ledger.close()
    return contents


async def _open_all(
    settings: Settings, folder: Path, report: Report
) -> list[tuple[AgentName, Ledger]]:
    memory = Memory(_CACHE_BYTES, _CACHE_BYTES)
    found: list[tuple[AgentName, Ledger]] = []
    try:
        for agent in AGENTS:
            own = structs.replace(ledger_settings(settings, agent, memory), datadir=folder)
            for partition in range(partitions_of(settings, agent)):
                ledger = await open_ledger(own, partition)
                found.append((agent, ledger))
                report(f"{agent} {partition}: {ledger.restored:,} entries read")
    except BaseException:
        for _, ledger in found:
            await ledger.close()
        raise
    return found


def _frames(
    ledgers: Iterable[tuple[AgentName, Ledger]], unread: list[Unread], prefix: str
) -> Iterator[Frame]:
    for agent, ledger in ledgers:
        times_ms, lost = ledger.positions.times_ms, ledger.positions.lost
        yield Kept(
            agent,
            ledger.partition,
            {topic.removeprefix(prefix): at_ms for topic, at_ms in times_ms.items()},
            {topic.removeprefix(prefix): loss for topic, loss in lost.items()},
        )
        for key, value in ledger.entries():
            yield Entry(agent, ledger.partition, key, value)
    yield from unread


def counted_in(frames: Iterable[Frame], contents: Contents) -> Iterator[Frame]:
    """Pass frames on, and note what they are."""
    for frame in frames:
        if isinstance(frame, SourceRead):
            pass
        elif isinstance(frame, Unread):
            contents.unread += 1
        elif isinstance(frame, Entry) and frame.agent == "learning":
            state = decode_route(frame.value)
            contents.routes[state.route] = sum(arm.count for arm in state.arms.values())
        elif isinstance(frame, Entry):
            contents.requests += 1
        yield frame


async def _unread(settings: Settings, ledgers: Iterable[Ledger]) -> list[Unread]:
    """What learning has yet to read of rewards and commands: it counts after the import."""
    topics, prefix = settings.topic_names, settings.topics.prefix
    starts = {
        TopicPartition(topic, ledger.partition): ledger.positions.offsets.get(topic, 0)
        for ledger in ledgers
        for topic in (topics.rewards, topics.commands)
    }
    found: list[Unread] = []
    async with open_consumer(settings.broker, partitions=[*starts]) as consumer:
        begins = await consumer.beginning_offsets([*starts])
        ends = await consumer.end_offsets([*starts])
        for tp, at in starts.items():
            consumer.seek(tp, max(at, begins[tp]))
        left = {tp for tp in starts if await consumer.position(tp) < ends[tp]}
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    Unread(
                        tp.topic.removeprefix(prefix), tp.partition, one.key, one.value,
                        list(one.headers), one.timestamp,
                    )
                    for one in records
                    if one.offset < ends[tp]
                ]  # fmt: skip
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
            if len(found) > _MOST_UNREAD:
                raise LeverframeError(
                    f"learning is more than {_MOST_UNREAD:,} records behind: let a worker catch up "
                    "(leverframe doctor shows how far it is), stop it, and export again"
                )
    return found
