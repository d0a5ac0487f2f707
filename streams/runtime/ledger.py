"""The exactly-once state of one partition: RocksDB + changelog + transaction (DESIGN.md section 5).

The log is the truth and RocksDB a cache that is never ahead of it. One Kafka transaction holds the
changed entries, the next input offsets and the outputs; only after it committed is the cache
written and the input acknowledged. A crash at any point either left no transaction or left it
whole. Opening a ledger fences every earlier owner of the same partition.

While one transaction is under way the next micro-batch may be prepared: it reads what the
transaction will have changed. Transactions themselves follow one another.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from aiokafka.errors import KafkaError, ProducerFenced

import leverframe
from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.lanes import HopSettings, Lane, Lanes
from leverframe.streams.runtime.store import CachePosition, Memory, Store
from leverframe.streams.runtime.transactions import Transaction

__all__ = [
    "FIRST_AGENT_KEY",
    "FIRST_KEY",
    "LAYOUT",
    "POSITIONS_KEY",
    "Ledger",
    "LedgerSettings",
    "Loss",
    "Output",
    "Positions",
]

LAYOUT: Final = 1
"""Of what ledgers keep. A version that older ones cannot read has another, and converts what it
finds; one that only adds fields with a default has the same."""
POSITIONS_KEY: Final = b"\x00positions"
# Keys that begin with NUL are the ledger's own.
FIRST_KEY: Final = b"\x01"
# The first of them that an agent keeps, rather than the ledger or its cache.
FIRST_AGENT_KEY: Final = b"\x00e"
_STEP_ENTRIES: Final = 5_000
_GRACE_S: Final = 15.0


class Loss(msgspec.Struct, array_like=True):
    """Offsets of one topic that were removed before they were read.

    Attributes
    ----------
    count : int
        Since the ledger began.
    newest_ms : int
        When the last of them were missed, ms since the epoch.
    """

    count: int = 0
    newest_ms: int = 0


class Positions(msgspec.Struct):
    """How far the input was counted, kept in the ledger itself.

    Attributes
    ----------
    offsets : dict of str to int
        Next offset of each input topic; what lies below was counted.
    times_ms : dict of str to int
        Highest record time seen on each input topic, but for clocks that are ahead.
    topic_ids : dict of str to str
        Ids of the topics that were counted: one that is made anew has another.
    lost : dict of str to Loss
        What was never read, by topic; told to whoever asks, long after.
    lanes : int
        Of the worker that wrote this; 0 where each partition was a lane of its own.
    layout : int
        Of all that the ledger keeps, as ``LAYOUT`` was for who wrote it last; 0 before there was
        one.
    written_by : str
        Version that wrote this.
    """

    offsets: dict[str, int] = msgspec.field(default_factory=dict)
    times_ms: dict[str, int] = msgspec.field(default_factory=dict)
    topic_ids: dict[str, str] = msgspec.field(default_factory=dict)
    lost: dict[str, Loss] = msgspec.field(default_factory=dict)
    lanes: int = 0
    layout: int = 0
    written_by: str = ""

    def note_lost(self, topic: str, count: int, now_ms: int) -> None:
        """Count offsets of a topic that were removed unread; durable with the next commit."""
        before = self.lost.get(topic, Loss())
        self.lost[topic] = Loss(before.count + count, now_ms)


class Output(msgspec.Struct, frozen=True, gc=False):
    """A record to be published with a transaction, in the partition of the caller's choice.

    Its record time is the present where ``timestamp_ms`` is None.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []
    timestamp_ms: int | None = None


class LedgerSettings(HopSettings, frozen=True, kw_only=True):
    """What all ledgers of an agent share, beside that."""

    changelog: str
    datadir: Path
    memory: Memory


class Ledger:
    """State of one partition; ``open_ledger`` makes it: cache restored, earlier owners fenced."""

    def __init__(
        self, settings: LedgerSettings, partition: int, store: Store, lane: Lane, lanes: Lanes
    ) -> None:
        self.partition = partition
        self.restored = 0
        self.restore_seconds = 0.0
        self.changelog_id = ""
        self._settings = settings
        self._store = store
        self._lane, self._lanes = lane, lanes
        raw = store.get_many([POSITIONS_KEY])[0]
        self.positions = Positions() if raw is None else msgspec.msgpack.decode(raw, type=Positions)
        self.scan = store.scan
        self._under_way: asyncio.Future[None] | None = None
        self._ahead: Mapping[bytes, bytes | None] = {}

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the value of each key, in order, as after the transaction that is under way."""
        ahead = self._ahead
        if not ahead:
            return self._store.get_many(keys)
        stored = iter(self._store.get_many([key for key in keys if key not in ahead]))
        return [ahead[key] if key in ahead else next(stored) for key in keys]

    async def commit(
        self,
        changes: Mapping[bytes, bytes | None],
        outputs: Iterable[Output],
        positions: Positions | None = None,
    ) -> None:
        """Make one micro-batch durable, as ``begin_commit``: transaction first, then the cache.

        Raises ``LedgerError`` if the transaction failed or this worker was fenced. Nothing may be
        acknowledged after that: the process must end, the log decides what was counted.
        """
        await (await self.begin_commit(changes, outputs, positions))

    async def begin_commit(
        self,
        changes: Mapping[bytes, bytes | None],
        outputs: Iterable[Output],
        positions: Positions | None = None,
    ) -> "asyncio.Future[None]":
        """Begin a transaction once the one before has ended; reads see it from now on.

        None deletes an entry; ``changes`` must not be changed by the caller any more. Outputs are
        published with the transaction, in order for each partition. ``positions`` say how far the
        input is counted then, as before when left out. What is returned is done when all of it is
        durable, and fails as ``commit`` does. Raises ``LedgerError`` if the transaction before
        failed.
        """
        after = self.positions if positions is None else positions
        after.lanes, after.layout = self._settings.lanes, LAYOUT
        after.written_by = leverframe.__version__
        entries = [*changes.items(), (POSITIONS_KEY, msgspec.msgpack.encode(after))]
        home = (self._settings.changelog, self.partition)
        transaction = self._lane.new_transaction()
        transaction.add_all(home, entries)
        for output in outputs:
            target = output.topic, output.partition
            transaction.add(target, output.key, output.value, output.headers, output.timestamp_ms)
        if self._under_way is not None:
            await self._under_way
        self.positions, self._ahead = after, changes
        self._under_way = asyncio.ensure_future(self._make_durable(transaction, home, entries))
        return self._under_way

    async def _make_durable(
        self,
        transaction: Transaction,
        home: tuple[str, int],
        entries: Sequence[tuple[bytes, bytes | None]],
    ) -> None:
        try:
            # The broker aborts a transaction after its own time; whoever still waits then waits
            # for ever.
            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000 + _GRACE_S):
                next_offset = (await self._lane.commit(transaction))[home]
        except ProducerFenced as error:
            raise LedgerError(
                f"{self.name}: another worker owns this partition now; this one was fenced. "
                "Nothing is lost. If it happens often, check for two workers with one datadir or "
                "[app] instance, or for pauses longer than the session timeout."
            ) from error
        except (TimeoutError, KafkaError) as error:
            raise LedgerError(
                f"{self.name}: the transaction failed ({error!r}). Nothing is lost; the worker "
                "must be restarted and will find out from the log what was counted."
            ) from error
        now_ms = time.time_ns() // 1_000_000
        self._store.write(entries, CachePosition(next_offset, now_ms, self.changelog_id))
        self._ahead = {}

    def entries(self, begin: bytes = FIRST_AGENT_KEY) -> Iterator[tuple[bytes, bytes]]:
        """Yield all that the agent keeps from a key on, indexes too; not the ledger's positions."""
        return (entry for entry in self.scan(begin) if entry[0] != POSITIONS_KEY)

    async def forget_all(self) -> int:
        """Delete all that the agent keeps, in steps, and return how much; positions stay."""
        begin, forgotten = FIRST_AGENT_KEY, 0
        while found := [*islice(self.entries(begin), _STEP_ENTRIES)]:
            await self.commit({key: None for key, _ in found}, [])
            begin, forgotten = found[-1][0], forgotten + len(found)
        return forgotten

    @property
    def name(self) -> str:
        """``<app>-<agent>-<partition>``."""
        return f"{self._settings.app_id}-{self._settings.agent}-{self.partition}"

    async def close(self) -> None:
        """Leave the lane and release the cache."""
        await self._lanes.leave(self.partition)
        self._store.close()
