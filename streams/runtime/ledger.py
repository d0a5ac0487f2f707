"""The exactly-once state of one partition: RocksDB + changelog + transaction (DESIGN.md section 5).

The log is the truth and RocksDB a cache that is never ahead of it. One Kafka transaction holds the
changed entries, the next input offsets and the outputs; only after it committed is the cache
written and the input acknowledged. A crash at any point either left no transaction or left it
whole. Opening a ledger fences every earlier owner of the same partition.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced

from schemas.errors import LedgerError
from streams.runtime.kafka import BrokerSettings
from streams.runtime.store import Memory, Place, Store

__all__ = ["FIRST_KEY", "Ledger", "LedgerSettings", "Output", "Positions", "transactional_id"]

log = logging.getLogger(__name__)

POSITIONS_KEY: Final = b"\x00positions"
# Keys that begin with NUL are the ledger's own.
FIRST_KEY: Final = b"\x01"
_GRACE_S: Final = 15.0


class Positions(msgspec.Struct):
    """How far the input was counted, kept in the ledger itself.

    Attributes
    ----------
    offsets : dict of str to int
        Next offset of each input topic; what lies below was counted.
    times_ms : dict of str to int
        Highest record time seen on each input topic.
    """

    offsets: dict[str, int] = msgspec.field(default_factory=dict)
    times_ms: dict[str, int] = msgspec.field(default_factory=dict)


class Output(msgspec.Struct, frozen=True, gc=False):
    """A record to be published with a transaction.

    Attributes
    ----------
    topic : str
        Full name.
    partition : int
        Chosen by the caller, as Kafka's default partitioner would.
    key, value : bytes or None
        As on the wire.
    headers : list of (str, bytes)
        As on the wire.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all ledgers of an agent share.

    Attributes
    ----------
    app_id, agent : str
        Name the transactional ids.
    changelog : str
        Full name of the changelog topic.
    datadir : Path
        Where the caches live.
    broker : BrokerSettings
        How to reach Kafka.
    memory : Memory
        Of the caches of the process.
    transaction_timeout_ms : int
        After this the broker aborts an open transaction of a dead worker by itself.
    """

    app_id: str
    agent: str
    changelog: str
    datadir: Path
    broker: BrokerSettings
    memory: Memory
    transaction_timeout_ms: int = 30_000


class Ledger:
    """State of one partition; made by ``streams.runtime.takeover``.

    Parameters
    ----------
    settings : LedgerSettings
        Of its agent.
    partition : int
        Its partition.
    store : Store
        The cache, restored.
    producer : AIOKafkaProducer
        Transactional, started.
    """

    def __init__(
        self, settings: LedgerSettings, partition: int, store: Store, producer: AIOKafkaProducer
    ) -> None:
        self.partition = partition
        self.restored = 0
        self.restore_seconds = 0.0
        self._settings = settings
        self._store = store
        self._producer = producer
        raw = store.get_many([POSITIONS_KEY])[0]
        self.positions = Positions() if raw is None else msgspec.msgpack.decode(raw, type=Positions)
        self.get_many = store.get_many
        self.scan = store.scan

    async def commit(
        self,
        changes: Mapping[bytes, bytes | None],
        outputs: Iterable[Output],
        positions: Positions | None = None,
    ) -> None:
        """Make one micro-batch durable: transaction first, then the cache.

        Parameters
        ----------
        changes : mapping of bytes to bytes or None
            Changed entries; None deletes.
        outputs : iterable of Output
            Published with the transaction, in order for each partition.
        positions : Positions, optional
            How far the input is counted then; as before when left out.

        Raises
        ------
        LedgerError
            If the transaction failed or this worker was fenced. Nothing may be acknowledged after
            that: the process must end, the log decides what was counted.
        """
        after = self.positions if positions is None else positions
        entries = [*changes.items(), (POSITIONS_KEY, msgspec.msgpack.encode(after))]
        batches: defaultdict[tuple[str, int], list[Any]] = defaultdict(list)
        home = (self._settings.changelog, self.partition)
        self._pack(batches[home], entries)
        for output in outputs:
            target = batches[output.topic, output.partition]
            self._append(target, output.key, output.value, output.headers)
        try:
            # The broker aborts a transaction after its own time; whoever still waits then waits
            # for ever.
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000 + _GRACE_S):
                next_offset = await self._transact(batches, home)
        except ProducerFenced as error:
            raise LedgerError(
                f"{self.name}: another worker owns this partition now; this one was fenced. "
                "Nothing is lost. If it happens often, check for two workers with one datadir or "
                "for pauses longer than the session timeout."
            ) from error
        except (TimeoutError, KafkaError) as error:
            raise LedgerError(
                f"{self.name}: the transaction failed ({error!r}). Nothing is lost; the worker "
                "must be restarted and will find out from the log what was counted."
            ) from error
        self._store.write(entries, Place(next_offset, time.time_ns() // 1_000_000))
        self.positions = after

    async def _transact(
        self, batches: Mapping[tuple[str, int], list[Any]], home: tuple[str, int]
    ) -> int:
        producer = self._producer
        await producer.begin_transaction()
        ends = await asyncio.gather(
            *(self._send(topic, partition, built) for (topic, partition), built in batches.items())
        )
        await producer.commit_transaction()
        return dict(zip(batches, ends, strict=True))[home]

    async def _send(self, topic: str, partition: int, built: list[Any]) -> int:
        """Send batches of one partition in order; return the offset after the last record."""
        futures = [
            (await self._producer.send_batch(batch, topic, partition=partition), batch)
            for batch in built
        ]
        end = 0
        for future, batch in futures:
            metadata = await future
            end = metadata.offset + batch.record_count()
        return end

    def _pack(self, built: list[Any], entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Append many entries; what ``_append`` does for one, in one loop."""
        append = self._new_batch(built)
        for key, value in entries:
            if append(timestamp=None, key=key, value=value) is None:
                append = self._new_batch(built)
                append(timestamp=None, key=key, value=value)

    def _append(
        self,
        built: list[Any],
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> None:
        full = not built or (
            built[-1].append(timestamp=None, key=key, value=value, headers=headers) is None
        )
        if full:
            self._new_batch(built)(timestamp=None, key=key, value=value, headers=headers)

    def _new_batch(self, built: list[Any]) -> Callable[..., Any]:
        built.append(self._producer.create_batch())
        append: Callable[..., Any] = built[-1].append
        return append

    @property
    def name(self) -> str:
        """``<app>-<agent>-<partition>``: also the transactional id."""
        return transactional_id(self._settings, self.partition)

    async def close(self) -> None:
        """Stop the producer and release the cache."""
        await self._producer.stop()
        self._store.close()


def transactional_id(settings: LedgerSettings, partition: int) -> str:
    """Return the id that fences earlier owners of a partition.

    Parameters
    ----------
    settings : LedgerSettings
        Of the agent.
    partition : int
        The partition.

    Returns
    -------
    str
        The same for every worker.
    """
    return f"{settings.app_id}-{settings.agent}-{partition}"
