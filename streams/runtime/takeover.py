"""Taking a partition over: fence its earlier owners, then bring its cache up to date."""

import shutil
import time
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import LedgerError
from streams.runtime.kafka import client_options
from streams.runtime.ledger import Ledger, LedgerSettings, transactional_id
from streams.runtime.restore import restore
from streams.runtime.store import Store, open_store
from streams.topology import MAX_ENTRY_BYTES

__all__ = ["open_ledger"]

_BATCH_BYTES: Final = 512 << 10


async def open_ledger(settings: LedgerSettings, partition: int) -> Ledger:
    """Take a partition over: fence its earlier owners, then bring the cache up to date.

    Parameters
    ----------
    settings : LedgerSettings
        Of the agent.
    partition : int
        The partition.

    Returns
    -------
    Ledger
        Ready to read and commit.

    Raises
    ------
    LedgerError
        If the broker refuses the transactional id or the changelog cannot be read.
    """
    began = time.monotonic()
    producer = AIOKafkaProducer(
        **client_options(settings.broker),
        transactional_id=transactional_id(settings, partition),
        transaction_timeout_ms=settings.transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_ENTRY_BYTES,
    )
    store: Store | None = None
    try:
        await producer.start()
        # Waits for the producer id, and so for the abort of an earlier owner's open transaction.
        await producer.begin_transaction()
        await producer.abort_transaction()
        path = settings.datadir / settings.agent / str(partition)
        store = open_store(path, settings.cache)
        restored, rebuild = await restore(store, settings.changelog, partition, settings.broker)
        if rebuild:
            store.close()
            shutil.rmtree(path, ignore_errors=True)
            store = open_store(path, settings.cache)
            restored, _ = await restore(store, settings.changelog, partition, settings.broker)
    except BaseException as error:
        # Cancelled too: the partition left while it was being restored.
        if store is not None:
            store.close()
        await producer.stop()
        if not isinstance(error, KafkaError):
            raise
        raise LedgerError(
            f"{transactional_id(settings, partition)}: cannot take the partition over ({error!r}). "
            "Check that the topics exist (leverframe topics check) and that this user may use "
            "transactional ids."
        ) from error
    ledger = Ledger(settings, partition, store, producer)
    ledger.restored, ledger.restore_seconds = restored, time.monotonic() - began
    return ledger
