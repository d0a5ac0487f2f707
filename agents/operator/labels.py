"""Writes the labels of a file to ``ground-truth``: in order, each row once, however often it stops.

How many rows are done is committed in the transaction of what they became, as the offset of a group
named after the file's content. So a load that was stopped goes on behind its last row, and a file
that was loaded is not loaded again, under whatever name.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata
from msgspec import Struct, field

from leverframe.agents.operator.label_files import content_id, read_rows
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.murmur import partitions_of
from leverframe.streams.runtime.transactions import Transaction
from leverframe.streams.sources.mapping import Fault, SourceMapping

__all__ = ["Loaded", "faults_told", "load_labels"]

_ROWS: Final = 2_000
_MOST_FAULTS: Final = 20
_TRANSACTION_MS: Final = 60_000


class Loaded(Struct):
    """What came of a file.

    Attributes
    ----------
    done_before : int
        Rows of an earlier load of the same content.
    rows, labels : int
        Rows of this load, and what they became.
    passed_over : int
        Rows that the filter does not want.
    faulty : int
        Rows that could not be mapped.
    faults : list of (int, str)
        The first of these: row and what is wrong.
    """

    done_before: int = 0
    rows: int = 0
    labels: int = 0
    passed_over: int = 0
    faulty: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


async def load_labels(
    settings: Settings,
    file: Path,
    form: str,
    mapping: SourceMapping,
    report: Callable[[int], None],
) -> Loaded:
    """Load a file; ``report`` is told how many rows are done, after each transaction.

    Raises ``LeverframeError`` where a line cannot be read at all, or another load of the same file
    has begun; what was written before stands.
    """
    name = f"{settings.topics.prefix}{settings.app.id}-labels-{content_id(file)}"
    producer = AIOKafkaProducer(
        **client_options(settings.broker),
        acks="all",
        transactional_id=name,
        transaction_timeout_ms=_TRANSACTION_MS,
    )
    await producer.start()
    try:
        # Another load of the same content is fenced; how far it came can be read then.
        await producer.begin_transaction()
        await producer.abort_transaction()
        done = Loaded(done_before=await _done(settings, name))
        rows = islice(read_rows(file, form), done.done_before, None)
        report(done.done_before)
        while part := [*islice(rows, _ROWS)]:
            await _write(settings, producer, name, _mapped(mapping, part, done), part[-1][0])
            done.rows += len(part)
            report(part[-1][0])
    except ProducerFenced as error:
        raise LeverframeError(
            f"another load of the content of {file} has begun and goes on from here"
        ) from error
    finally:
        await producer.stop()
    return done


def _mapped(
    mapping: SourceMapping, part: list[tuple[int, Any]], done: Loaded
) -> list[tuple[bytes, bytes]]:
    made = []
    for row, document in part:
        mapped = mapping.map_document(document)
        if isinstance(mapped, Fault):
            done.faulty += 1
            if len(done.faults) < _MOST_FAULTS:
                at = f"{mapped.path}: " if mapped.path else ""
                done.faults.append((row, f"{at}{mapped.why}"))
        elif not mapped:
            done.passed_over += 1
        else:
            made += [(one.key, one.value) for one in mapped]
            done.labels += len(mapped)
    return made


async def _write(
    settings: Settings,
    producer: AIOKafkaProducer,
    group: str,
    labels: list[tuple[bytes, bytes]],
    done: int,
) -> None:
    topic = settings.topic_names.ground_truth
    homes = partitions_of([key for key, _ in labels], settings.topics.partitions)
    transaction = Transaction(producer)
    for (key, value), home in zip(labels, homes, strict=True):
        transaction.add((topic, home), key, value, [])
    try:
        await transaction.run(group, {TopicPartition(topic, 0): OffsetAndMetadata(done, "")})
    except ProducerFenced:
        raise
    except KafkaError as error:
        raise LeverframeError(
            f"the broker did not take what comes before row {done} ({error!r:.200}); begin again, "
            "it goes on where it stopped"
        ) from error


async def _done(settings: Settings, group: str) -> int:
    async with open_consumer(settings.broker, group_id=group) as consumer:
        return await consumer.committed(TopicPartition(settings.topic_names.ground_truth, 0)) or 0


def faults_told(done: Loaded) -> Iterator[str]:
    """Say of each faulty row what is wrong, up to a number of them."""
    for row, why in done.faults:
        yield f"row {row}: {why}"
    if done.faulty > len(done.faults):
        yield f"and {done.faulty - len(done.faults):,} more"
