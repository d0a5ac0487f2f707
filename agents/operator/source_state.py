"""How far topics of others were read, in an exported state: read, and taken over elsewhere."""

from collections.abc import Collection, Iterable
from typing import Final

from aiokafka.errors import KafkaError

from leverframe.agents.ingest.agents import agents_of_sources
from leverframe.agents.ledgers import hop_settings
from leverframe.agents.operator.restart import CountFrom
from leverframe.agents.operator.state_file import SourceRead
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.inputs import InputFacts, InputReader
from leverframe.streams.runtime.ledger import Positions
from leverframe.streams.runtime.positions import open_positions, read_newest_ms
from leverframe.streams.sources.compiled import TopicSources

__all__ = [
    "read_sources",
    "refuse_sources",
    "shortest_window_ms",
    "start_ms",
    "take_over_sources",
]

_PREDICTION: Final = "prediction"


async def read_sources(settings: Settings) -> list[SourceRead]:
    """Return how far each partition was read; what an older version read last is left out."""
    found: list[SourceRead] = []
    for name, own in agents_of_sources(settings).items():
        newest_ms = await read_newest_ms(hop_settings(settings, name), own.topic)
        found += [SourceRead(own.topic, at, ms) for at, ms in sorted(newest_ms.items()) if ms]
    return found


def refuse_sources(settings: Settings, known: Collection[str]) -> None:
    """Refuse to read a topic from its begin that is not ``known``; raises ``LeverframeError``."""
    early = [
        name
        for name, source in settings.sources.items()
        if source.begin == "earliest" and source.topic not in known
    ]
    if early:
        raise LeverframeError(
            f"[sources] {', '.join(early)}: the file does not say how far the topic was read, so "
            "it would be read from its begin, and requests whose window is over would count again: "
            'set begin = "latest" for it until the first worker has started, and send what came '
            "after the export once more"
        )


def shortest_window_ms(settings: Settings) -> int:
    """Return for how long entries of every route surely live; 0 without any route."""
    return round(min((one.window_s for one in settings.routes.values()), default=0.0) * 1000)


def start_ms(read_ms: int, counted_ms: int, window_ms: int, *, has_predictions: bool) -> int:
    """Return from which record time a topic is read elsewhere, ms since the epoch; pure.

    ``read_ms`` is the newest that was read of it, ``counted_ms`` the newest that the join had
    counted of any topic. Records come a little out of order, so as much is read once more as
    entries surely know: the shortest window of a route. A prediction from before that may have been
    forgotten, and would count again.

    Examples
    --------
    >>> start_ms(9_000, 10_000, 4_000, has_predictions=False)
    5000
    >>> start_ms(9_000, 10_000, 4_000, has_predictions=True)
    6000
    >>> start_ms(1_000, 10_000, 4_000, has_predictions=True)
    1000
    """
    if has_predictions:
        return max(0, min(read_ms, counted_ms - window_ms))
    return max(0, read_ms - window_ms)


async def take_over_sources(
    settings: Settings,
    reader: InputReader,
    read: Iterable[SourceRead],
    counted_ms: int,
    count_from: CountFrom | None,
) -> None:
    """Commit from where each partition is read; one that was never read begins as its settings say.

    Raises ``LeverframeError`` where a topic has fewer partitions than were read.
    """
    window_ms = shortest_window_ms(settings)
    by_topic: dict[str, dict[int, int]] = {}
    for one in read:
        by_topic.setdefault(one.topic, {})[one.partition] = one.newest_ms
    for name, own in agents_of_sources(settings).items():
        for partition, newest_ms in by_topic.get(own.topic, {}).items():
            fact = await _fact(reader, own.topic, partition)
            if count_from == "now":
                offset = fact.end
            elif count_from == "beginning":
                offset = fact.begin
            else:
                own_ms = start_ms(
                    newest_ms, counted_ms, window_ms, has_predictions=_has_predictions(own)
                )
                at_ms = own_ms if count_from is None else count_from
                found = await reader.offsets_at(own.topic, partition + 1, at_ms)
                offset = found[partition]
            positions = Positions({own.topic: offset}, {}, {own.topic: fact.topic_id})
            ledger = await open_positions(hop_settings(settings, name), own.topic, partition)
            try:
                await ledger.commit([], positions)
            finally:
                await ledger.close()


async def _fact(reader: InputReader, topic: str, partition: int) -> InputFacts:
    try:
        return (await reader.facts((topic,), partition))[topic]
    except KafkaError as error:
        raise LeverframeError(
            f"{topic}-{partition} was read before, and is not here ({error!r}): mirror the topic, "
            "with as many partitions, before the import"
        ) from error


def _has_predictions(own: TopicSources) -> bool:
    return any(source.settings.kind == _PREDICTION for source in own.sources)
