"""Exports what an application keeps to a file, and imports it, while no worker runs.

The file is for another cluster, or for this one once it was lost. Offsets mean nothing there, so
inputs are read again from so early that whatever was not counted is; requests that were counted
are known by their entries, and count once.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition
from msgspec import Struct, field, structs

import leverframe
from leverframe.agents.datadir import claim
from leverframe.agents.ledgers import AGENTS, AgentName, inputs_of, ledger_settings, partitions_of
from leverframe.agents.operator.control import newest_messages
from leverframe.agents.operator.restart import CountFrom, require_no_member
from leverframe.agents.operator.state_file import (
    FORM,
    Entry,
    Frame,
    Header,
    Kept,
    Unread,
    read_state,
    write_state,
)
from leverframe.agents.settings import Settings
from leverframe.agents.worker.outputs import audit_output
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.restart import RESTART_KEY, encode_restart, move_over
from leverframe.streams.learning.state import RouteState, decode_route, encode_route, state_digest
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.inputs import InputFacts, InputReader
from leverframe.streams.runtime.ledger import LAYOUT, Ledger, Output, Positions
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

__all__ = ["Contents", "export_state", "import_state", "look_at_state"]

Report = Callable[[str], None]

_CACHE_BYTES: Final = 64 << 20
_STEP_ENTRIES: Final = 5_000
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


# -- export ------------------------------------------------------------------------------------


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
            write_state(path, header, _counted(_frames(ledgers, unread), contents))
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


def _frames(ledgers: Iterable[tuple[AgentName, Ledger]], unread: list[Unread]) -> Iterator[Frame]:
    for agent, ledger in ledgers:
        yield Kept(agent, ledger.partition, ledger.positions)
        for key, value in ledger.entries():
            yield Entry(agent, ledger.partition, key, value)
    yield from unread


def _counted(frames: Iterable[Frame], contents: Contents) -> Iterator[Frame]:
    """Pass frames on, and note what they are."""
    for frame in frames:
        if isinstance(frame, Unread):
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


# -- import ------------------------------------------------------------------------------------


def look_at_state(settings: Settings, path: Path) -> Contents:
    """Check a file, and return what it holds.

    Raises ``LeverframeError`` if it is none, was changed, or does not fit these settings.
    """
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
    contents = Contents(header)
    for _ in _counted(frames, contents):
        pass
    return contents


async def import_state(
    settings: Settings, path: Path, count_from: CountFrom | None, actor: str, report: Report
) -> None:
    """Take over what a file holds; inputs are counted ``count_from``.

    Where that is None: from the newest record that was counted, less the longest window, so that
    none is missed; those that were counted are known. The file was looked at before.

    Raises ``LeverframeError`` if a worker is in the group, or these topics have been counted
    before.
    """
    _refuse_sources(settings)
    claim(Path(settings.app.datadir))
    await require_no_member(settings, report)
    contents = look_at_state(settings, path)
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
        kept = await _import_entries(path, ledgers)
        report(f"{contents.requests:,} entries of requests written")
        for partition in range(partitions_of(settings, "learning")):
            facts = await reader.facts(inputs_of(settings, "learning"), partition)
            ledger = ledgers["learning", partition]
            await _begin_learning(settings, path, ledger, newest, facts, (now_ms, actor))
            report(f"learning {partition}: begins with what was counted")
        for partition in reversed(range(partitions_of(settings, "attribution"))):
            facts = await reader.facts(inputs_of(settings, "attribution"), partition)
            before = kept["attribution", partition]
            starts = await _starts(settings, reader, facts, partition, before, count_from)
            after = Positions(starts, dict(before.times_ms), _ids(facts), dict(before.lost))
            await ledgers["attribution", partition].commit({}, [], after)
    finally:
        for ledger in ledgers.values():
            await ledger.close()
        await reader.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_sources(settings: Settings) -> None:
    """How far topics of others were read is not in the file."""
    early = [name for name, source in settings.sources.items() if source.begin == "earliest"]
    if early:
        raise LeverframeError(
            f"[sources] {', '.join(early)}: would be read from its topic's begin, and requests "
            'whose window is over would count again: set begin = "latest" for each until the '
            "first worker has started, and send what came after the export once more"
        )


def _require_new(ledger: Ledger) -> None:
    if ledger.positions.offsets:
        raise LeverframeError(
            f"{ledger.name}: these topics have been counted before, and an import would replace "
            "that: give the application another [topics] prefix, or topics made anew (leverframe "
            "topics create), and import before the first worker starts"
        )


async def _import_entries(
    path: Path, ledgers: Mapping[tuple[str, int], Ledger]
) -> dict[tuple[str, int], Positions]:
    """Write entries of requests in steps; return how far each partition had read."""
    kept: dict[tuple[str, int], Positions] = {}
    steps: dict[int, dict[bytes, bytes]] = {}
    for frame in read_state(path)[1]:
        if isinstance(frame, Kept):
            kept[frame.agent, frame.partition] = frame.positions
        elif isinstance(frame, Entry) and frame.agent == "attribution":
            step = steps.setdefault(frame.partition, {})
            step[frame.key] = frame.value
            if len(step) >= _STEP_ENTRIES:
                await ledgers["attribution", frame.partition].commit(steps.pop(frame.partition), [])
    for partition, step in steps.items():
        await ledgers["attribution", partition].commit(step, [])
    return kept


async def _starts(
    settings: Settings,
    reader: InputReader,
    facts: Mapping[str, InputFacts],
    partition: int,
    before: Positions,
    count_from: CountFrom | None,
) -> dict[str, int]:
    """From where each input of a partition is counted."""
    if count_from == "beginning" or (count_from is None and not before.times_ms):
        return {topic: fact.begin for topic, fact in facts.items()}
    if count_from == "now":
        return {topic: fact.end for topic, fact in facts.items()}
    at_ms = count_from
    if not isinstance(at_ms, int):
        window_ms = compile_routes(settings.routes).longest_window_ms
        at_ms = max(0, min(before.times_ms.values()) - window_ms)
    count = settings.topics.partitions
    return {topic: (await reader.offsets_at(topic, count, at_ms))[partition] for topic in facts}


async def _begin_learning(
    settings: Settings,
    path: Path,
    ledger: Ledger,
    newest: Mapping[str, ControlMessage],
    facts: Mapping[str, InputFacts],
    done: tuple[int, str],
) -> None:
    now_ms, actor = done
    topics, partition = settings.topic_names, ledger.partition
    header, frames = read_state(path)
    states: dict[str, RouteState] = {}
    unread: list[Output] = []
    for frame in frames:
        if isinstance(frame, Entry) and (frame.agent, frame.partition) == ("learning", partition):
            state = decode_route(frame.value)
            states[state.route] = move_over(state, newest.get(state.route), now_ms)
        elif isinstance(frame, Unread) and frame.partition == partition:
            target = settings.topics.prefix + frame.topic
            unread.append(
                Output(target, partition, frame.key, frame.value, frame.headers, frame.timestamp_ms)
            )
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(header.exported_at_ms / 1000))
    mark = encode_restart(
        states,
        restarted_at_ms=now_ms,
        counted_from=f"the state of {at}",
        application=settings.app.id,
    )
    events = [_event(state, at, now_ms, actor) for state in states.values()]
    count = settings.topics.route_partitions
    await ledger.commit(
        {name.encode(): encode_route(state) for name, state in states.items()},
        [
            Output(topics.rewards, partition, RESTART_KEY, mark),
            *unread,
            *(audit_output(event, topics.audit, count) for event in events),
        ],
        Positions({topic: fact.end for topic, fact in facts.items()}, {}, _ids(facts)),
    )


def _event(state: RouteState, exported_at: str, now_ms: int, actor: str) -> AuditEvent:
    return AuditEvent(
        route=state.route,
        event="command",
        actor=actor,
        action="state import",
        params={"exported_at": exported_at},
        epoch=state.epoch,
        seq=state.seq,
        at_ms=now_ms,
        state_digest=state_digest(state),
    )


def _ids(facts: Mapping[str, InputFacts]) -> dict[str, str]:
    return {topic: fact.topic_id for topic, fact in facts.items() if fact.topic_id}
