"""Taking a partition over: fence its earlier owners, then bring its cache up to date."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.ledger import HopSettings, Ledger, LedgerSettings, transactional_id
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.restore import restore
from leverframe.streams.topology import MAX_ENTRY_BYTES

__all__ = ["open_ledger", "open_producer", "outlast"]

log = make_logger(__name__)

Opened = TypeVar("Opened")

_BATCH_BYTES: Final = 512 << 10
_PATIENCE_S: Final = 60.0
_PAUSE_S: Final = 0.5


async def open_ledger(settings: LedgerSettings, partition: int) -> Ledger:
    """Take a partition over; its ledger is then ready to read and commit.

    A broker that is away for a while is waited for; nothing has been done yet that could be half.

    Raises ``LedgerError`` if the broker refuses the transactional id, the changelog cannot be read,
    or the broker does not come back.
    """
    began = time.monotonic()
    ledger = await outlast(settings, partition, lambda: _attempt(settings, partition))
    ledger.restore_seconds = time.monotonic() - began
    return ledger


async def outlast(
    settings: HopSettings, partition: int, attempt: Callable[[], Awaitable[Opened]]
) -> Opened:
    """Take a partition over by ``attempt``, again while the broker is away; ``LedgerError`` else.

    ``attempt`` leaves nothing behind where it fails.
    """
    began = time.monotonic()
    while True:
        try:
            return await attempt()
        except KafkaError as error:
            is_away = error.retriable and not isinstance(error, UnknownTopicOrPartitionError)
            if is_away and time.monotonic() - began < _PATIENCE_S:
                log.warning(
                    "broker_away",
                    message=f"{transactional_id(settings, partition)}: the broker is away "
                    f"({error!r}); trying again",
                    agent=settings.agent,
                    partition=partition,
                )
                await asyncio.sleep(_PAUSE_S)
                continue
            raise LedgerError(
                f"{transactional_id(settings, partition)}: cannot take the partition over "
                f"({error!r}). Check that the topics exist (leverframe topics check) and that this "
                "user may use transactional ids."
            ) from error


async def _attempt(settings: LedgerSettings, partition: int) -> Ledger:
    producer = await open_producer(settings, partition)
    try:
        path = settings.datadir / settings.agent / str(partition)
        restored = await restore(
            path, settings.memory, settings.changelog, partition, settings.broker
        )
    except BaseException:
        # Cancelled too: the partition left while it was being restored.
        await producer.stop()
        raise
    ledger = Ledger(settings, partition, restored.store, producer)
    ledger.restored = restored.applied
    ledger.changelog_id = restored.topic_id
    return ledger


async def open_producer(settings: HopSettings, partition: int) -> AIOKafkaProducer:
    """Start the producer of a partition: from now on no earlier owner can commit."""
    producer = AIOKafkaProducer(
        **client_options(settings.broker),
        transactional_id=transactional_id(settings, partition),
        transaction_timeout_ms=settings.transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_ENTRY_BYTES,
    )
    try:
        await producer.start()
        # Waits for the producer id, and so for the abort of an earlier owner's open transaction.
        await producer.begin_transaction()
        await producer.abort_transaction()
    except BaseException:
        await producer.stop()
        raise
    return producer
