"""Imports what an application kept elsewhere, while no worker runs.

Offsets of another cluster mean nothing, so inputs are read again from so early that whatever was
not counted is; requests that were counted are known by their entries, and count once.
"""

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias, cast

from msgspec import Struct, field, structs

import leverframe
from leverframe.agents.datadir import claim
from leverframe.agents.ledgers import AGENTS, inputs_of, ledger_settings, partitions_of
from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.restart import CountFrom, audit_of, require_no_member
from leverframe.agents.operator.source_state import (
    refuse_sources,
    shortest_window_ms,
    start_ms,
    take_over_sources,
)
from leverframe.agents.operator.state_export import Contents, Report, counted_in
from leverframe.agents.operator.state_file import (
    Entry,
    Frame,
    Header,
    Kept,
    SourceRead,
    Unread,
    read_state,
)
from leverframe.agents.settings import Settings
from leverframe.agents.worker.outputs import audit_output
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.restart import RESTART_KEY, encode_restart, move_over
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.runtime.inputs import InputFacts, InputReader, ids_of
from leverframe.streams.runtime.ledger import LAYOUT, Ledger, Output, Positions
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

__all__ = ["import_state", "look_at_state", "start_times_ms"]

Rest: TypeAlias = Kept | Entry | Unread
"""Frames but for those of sources."""

_CACHE_BYTES: Final = 64 << 20
_STEP_ENTRIES: Final = 5_000


def look_at_state(settings: Settings, path: Path) -> Contents:
    """Check a file, and return what it holds.

    Raises ``LeverframeError`` if it is none, was changed, or does not fit these settings.
    """
    header, frames = _fitting(settings, path)
    contents = Contents(header)
    for _ in counted_in(frames, contents):
        pass
    return contents


def _fitting(settings: Settings, path: Path) -> tuple[Header, Iterator[Frame]]:
    """Read a file, and refuse one that does not fit."""
    header, frames = read_state(path)
    if header.layout > LAYOUT:
        raise LeverframeError(
            f"{path} was written by leverframe {header.written_by}, in layout {header.layout}; "
            f"this is {leverframe.__version__}, which reads layouts up to {LAYOUT}: import it with "
            "that version or a newer one"
        )
    own = {str(agent): partitions_of(settings, agent) for agent in AGENTS}
    if header.partitions != own:
        raise LeverframeError(
            f"{path} is of an application with partitions {header.partitions}, these settings have "
            f"{own}: set [topics] partitions and route_partitions to the same, and make the topics "
            "so"
        )
    return header, frames


async def import_state(
    settings: Settings, path: Path, count_from: CountFrom | None, actor: str, report: Report
) -> None:
    """Take over what a file holds; inputs are counted ``count_from``.

    Where that is None: by ``start_times_ms``.

    Raises ``LeverframeError`` as ``look_at_state`` does, if a worker is in the group, or if these
    topics have been counted before.
    """
    header, all_frames = _fitting(settings, path)
    read, frames = _sources_first(all_frames)
    refuse_sources(settings, {one.topic for one in read})
    claim(Path(settings.app.datadir))
    await require_no_member(settings, report)
    newest = await newest_messages(settings)
    now_ms = time.time_ns() // 1_000_000
    reader = InputReader(settings.broker, settings.topic_names.prefix + settings.app.id)
    memory = Memory(_CACHE_BYTES, _CACHE_BYTES)
    folder = Path(settings.app.datadir) / f".import-{now_ms}"
    ledgers: dict[tuple[str, int], Ledger] = {}
    try:
        for agent in AGENTS:
            own = structs.replace(ledger_settings(settings, agent, memory), datadir=folder)
            for partition in range(partitions_of(settings, agent)):
                ledger = await open_ledger(own, partition)
                ledgers[agent, partition] = ledger
        # It is the last to be written: an import that ended half-way is done again.
        _require_new(ledgers["attribution", 0])
        taken = await _take_over(frames, ledgers)
        report("entries of requests are written")
        for partition in range(partitions_of(settings, "learning")):
            facts = await reader.facts(inputs_of(settings, "learning"), partition)
            states = [
                move_over(state, newest.get(state.route), now_ms)
                for state in taken.states.get(partition, [])
            ]
            unread = taken.unread.get(partition, [])
            commit = _learning_commit(settings, header, partition, states, unread, (now_ms, actor))
            ends = {topic: fact.end for topic, fact in facts.items()}
            await ledgers["learning", partition].commit(*commit, Positions(ends, {}, ids_of(facts)))
            report(f"learning {partition}: begins with what was counted")
        kept_ms = [ms for kept in taken.kept.values() for ms in kept.times_ms.values()]
        await take_over_sources(settings, reader, read, max(kept_ms, default=0), count_from)
        for partition in reversed(range(partitions_of(settings, "attribution"))):
            facts = await reader.facts(inputs_of(settings, "attribution"), partition)
            kept, prefix = taken.kept["attribution", partition], settings.topics.prefix
            starts = await _starts(settings, reader, facts, partition, kept, count_from)
            times_ms = {prefix + topic: at_ms for topic, at_ms in kept.times_ms.items()}
            lost = {prefix + topic: loss for topic, loss in kept.lost.items()}
            after = Positions(starts, times_ms, ids_of(facts), lost)
            await ledgers["attribution", partition].commit({}, [], after)
    finally:
        for ledger in ledgers.values():
            await ledger.close()
        await reader.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _sources_first(frames: Iterator[Frame]) -> tuple[list[SourceRead], Iterator[Rest]]:
    """Part what comes first in a file from all the rest, which may be large."""
    read: list[SourceRead] = []
    for frame in frames:
        if not isinstance(frame, SourceRead):
            return read, chain([frame], cast("Iterator[Rest]", frames))
        read.append(frame)
    return read, iter(())


def _require_new(ledger: Ledger) -> None:
    if ledger.positions.offsets:
        raise LeverframeError(
            f"{ledger.name}: these topics have been counted before, and an import would replace "
            "that: give the application another [topics] prefix, or topics made anew (leverframe "
            "topics create), and import before the first worker starts"
        )


class _Taken(Struct):
    """What is not written at once: how far partitions had read, and what learning begins with."""

    kept: dict[tuple[str, int], Kept] = field(default_factory=dict)
    states: dict[int, list[RouteState]] = field(default_factory=dict)
    unread: dict[int, list[Unread]] = field(default_factory=dict)


async def _take_over(frames: Iterable[Rest], ledgers: Mapping[tuple[str, int], Ledger]) -> _Taken:
    """Write entries of requests in steps; return the rest."""
    taken = _Taken()
    steps: dict[int, dict[bytes, bytes]] = {}
    for frame in frames:
        if isinstance(frame, Kept):
            taken.kept[frame.agent, frame.partition] = frame
        elif isinstance(frame, Unread):
            taken.unread.setdefault(frame.partition, []).append(frame)
        elif frame.agent == "learning":
            taken.states.setdefault(frame.partition, []).append(decode_route(frame.value))
        else:
            step = steps.setdefault(frame.partition, {})
            step[frame.key] = frame.value
            if len(step) >= _STEP_ENTRIES:
                await ledgers["attribution", frame.partition].commit(steps.pop(frame.partition), [])
    for partition, step in steps.items():
        await ledgers["attribution", partition].commit(step, [])
    return taken


def start_times_ms(times_ms: Mapping[str, int], window_ms: int) -> dict[str, int]:
    """Return from which record time on each input is read elsewhere, by ``start_ms``; pure.

    ``times_ms`` are the newest that were counted, by topic without prefix.
    """
    newest_ms = max(times_ms.values(), default=0)
    return {
        topic: start_ms(at_ms, newest_ms, window_ms, has_predictions=topic == "predictions")
        for topic, at_ms in times_ms.items()
    }


async def _starts(
    settings: Settings,
    reader: InputReader,
    facts: Mapping[str, InputFacts],
    partition: int,
    kept: Kept,
    count_from: CountFrom | None,
) -> dict[str, int]:
    """From where each input of a partition is counted; what was never read, from its begin."""
    if count_from == "now":
        return {topic: fact.end for topic, fact in facts.items()}
    starts = {topic: fact.begin for topic, fact in facts.items()}
    wanted: dict[str, int] = {}
    if isinstance(count_from, int):
        wanted = dict.fromkeys(facts, count_from)
    elif count_from is None:
        times_ms = start_times_ms(kept.times_ms, shortest_window_ms(settings))
        wanted = {settings.topics.prefix + topic: at_ms for topic, at_ms in times_ms.items()}
    for topic, at_ms in wanted.items():
        found = await reader.offsets_at(topic, settings.topics.partitions, at_ms)
        starts[topic] = found[partition]
    return starts


def _learning_commit(
    settings: Settings,
    header: Header,
    partition: int,
    states: Sequence[RouteState],
    unread: Iterable[Unread],
    done: tuple[int, str],
) -> tuple[dict[bytes, bytes | None], list[Output]]:
    """Entries of a partition of learning, and what is published with them; pure.

    ``done`` is when, ms since the epoch, and by whom.
    """
    now_ms, actor = done
    topics, prefix = settings.topic_names, settings.topics.prefix
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(header.exported_at_ms / 1000))
    mark = encode_restart(
        {state.route: state for state in states},
        restarted_at_ms=now_ms,
        counted_from=f"the state of {at}",
        application=settings.app.id,
    )
    params = {"exported_at": at}
    events = [audit_of(state, actor, now_ms, "state import", params=params) for state in states]
    count = settings.topics.route_partitions
    outputs = [
        Output(topics.rewards, partition, RESTART_KEY, mark),
        *(
            Output(prefix + one.topic, partition, one.key, one.value, one.headers, one.timestamp_ms)
            for one in unread
        ),
        *(audit_output(event, topics.audit, count) for event in events),
    ]
    return {state.route.encode(): encode_route(state) for state in states}, outputs
