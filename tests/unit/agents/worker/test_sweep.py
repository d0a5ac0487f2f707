"""Sweeps in portions, and caches that are filled in bulk."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from patience import PATIENCE_S

from leverframe.agents.worker.sweep import USUAL_REQUESTS, DueReader, Portion, Turn
from leverframe.streams.attribution.entries import EarlyLabel
from leverframe.streams.attribution.expiry import IDS_IN_ONE, index_changes
from leverframe.streams.attribution.packed import encode_entry
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.ledger import FIRST_KEY, Ledger, LedgerSettings, Positions
from leverframe.streams.runtime.store import CachePosition, Memory, open_store


class Swept:
    """A real ledger on a real store, of which only reading is looked at: nothing is published."""

    def __init__(self, folder: Path) -> None:
        memory = Memory(1 << 20, 8 << 20)
        self.store = open_store(folder / "0", memory)
        settings = LedgerSettings(
            app_id="test",
            agent="attribution",
            changelog="changelog",
            datadir=folder,
            broker=BrokerSettings(),
            memory=memory,
        )
        self.ledger = Ledger(settings, 0, self.store, *cast("Any", (None, None)))

    def add(self, bucket_ms: int, unique: bytes, count: int) -> None:
        ids = [f"{unique.decode()}-{at}" for at in range(count)]
        early = encode_entry(EarlyLabel(0, bucket_ms, 1, 0))
        index = index_changes({bucket_ms: ids}, unique)
        self.store.write(
            [*((name.encode(), early) for name in ids), *index.items()], CachePosition(1, 1)
        )

    def take(self, portion: Portion) -> None:
        gone = [*portion.keys, *(name.encode() for name in portion.entries)]
        self.store.write([(key, None) for key in gone], CachePosition(1, 1))

    @property
    def left(self) -> int:
        return sum(1 for key, _ in self.store.scan(FIRST_KEY))


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[Swept]:
    made = Swept(tmp_path)
    yield made
    made.store.close()


def run(swept: Swept, limit_ms: int, look_s: float = 0.0) -> list[int]:
    """Sweep all that is due; return the portions' sizes. Each look at the clock takes a while."""

    async def scene() -> list[int]:
        clock = itertools.count(0.0, look_s)
        reader, sizes = DueReader(swept.ledger, lambda: next(clock)), []
        while reader.is_due(limit_ms):
            portion = await reader.read(limit_ms)
            assert None not in portion.entries.values()
            swept.take(portion)
            sizes.append(len(portion.entries))
            if portion.is_last:
                assert not reader.is_due(limit_ms)
        return sizes

    return asyncio.run(scene())


def test_portions_are_short_and_leave_nothing_that_is_due(swept: Swept) -> None:
    """Every request that is due comes once; what is not due stays."""
    swept.add(5_000, b"due", 2 * USUAL_REQUESTS + IDS_IN_ONE + 1)
    swept.add(9_000, b"later", 3)
    assert run(swept, 6_000) == [USUAL_REQUESTS, USUAL_REQUESTS, IDS_IN_ONE + 1]
    assert swept.left == 3
    assert run(swept, 10_000) == [3]


def test_portions_are_as_large_as_what_came(swept: Swept) -> None:
    """Under full load as many requests leave as come, whatever the usual portion is."""
    came = 2 * USUAL_REQUESTS

    async def scene() -> None:
        reader = DueReader(swept.ledger)
        swept.ledger.positions = Positions({"predictions": 1 << 20})
        assert not reader.is_due(6_000)
        swept.add(5_000, b"due", 3 * USUAL_REQUESTS)
        swept.ledger.positions = Positions({"predictions": (1 << 20) + came})
        assert reader.is_due(6_000)
        portion = await reader.read(6_000)
        assert (len(portion.entries), portion.is_last) == (came, False)

    asyncio.run(scene())


def test_portions_end_where_reading_is_slow(swept: Swept) -> None:
    """A disk that is slow makes portions small, not micro-batches late; each still moves on."""
    swept.add(5_000, b"due", USUAL_REQUESTS + 2 * IDS_IN_ONE)
    assert run(swept, 6_000, look_s=1.0) == [USUAL_REQUESTS, IDS_IN_ONE, IDS_IN_ONE]


def test_run_that_ended_looks_from_the_start_again(swept: Swept) -> None:
    """A window that ended in the past, of a record that came late, is swept by the next run."""

    async def scene() -> None:
        reader = DueReader(swept.ledger)
        for bucket_ms, unique in ((5_000, b"first"), (1_000, b"late")):
            swept.add(bucket_ms, unique, 2)
            assert reader.is_due(6_000)
            portion = await reader.read(6_000)
            assert len(portion.entries) == 2
            assert portion.is_last
            swept.take(portion)
            assert not reader.is_due(6_000)

    asyncio.run(scene())


def test_one_partition_reads_at_a_time() -> None:
    """While another reads, a partition is told to look at its input, and comes again."""

    async def scene() -> None:
        turn = Turn()
        async with turn.take() as mine:
            assert mine
            async with turn.take() as other:
                assert not other
        async with turn.take() as again:
            assert again

    asyncio.run(scene())


def test_bulk_store_is_whole_after_its_flush(tmp_path: Path) -> None:
    """The newest value of a key and its deletion hold, whatever the order in which they sort."""
    memory = Memory(1 << 20, 8 << 20)
    store = open_store(tmp_path / "0", memory, is_bulk=True)
    store.write([(b"x", b"1"), (b"y", b"1"), (b"z", b"1")], CachePosition(3, 9))
    store.write([(b"y", b"2"), (b"x", None)], CachePosition(5, 9))
    store.flush()
    store.close()
    store = open_store(tmp_path / "0", memory)
    assert store.position == CachePosition(5, 9)
    assert store.get_many([b"x", b"y", b"z"]) == [None, b"2", b"1"]
    store.close()


_FILLS_AND_DIES = """
import os, sys
from pathlib import Path
from leverframe.streams.runtime.store import Memory, CachePosition, open_store
folder = Path(sys.argv[1])
store = open_store(folder, Memory(1 << 20, 4 << 20), is_bulk=True)
step = 0
# Tables are written by another thread; the third is begun when the first is in the manifest.
while len(list(folder.glob("*.sst"))) < 3:
    entries = [(b"%d-%d" % (step, at), os.urandom(1000)) for at in range(300)]
    store.write(entries, CachePosition(step, 9))
    step += 1
print(step - 1, flush=True)
os._exit(9)
"""


def test_bulk_store_that_died_is_never_ahead(tmp_path: Path) -> None:
    """Killed while it is filled: all entries up to the position that is found are there."""
    command = [sys.executable, "-c", _FILLS_AND_DIES, str(tmp_path / "0")]
    died = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert died.returncode == 9, died.stderr
    store = open_store(tmp_path / "0", Memory(1 << 20, 8 << 20))
    position: Any = store.position
    assert position is not None, "nothing was flushed on the way: the test shows nothing"
    assert position.next_offset < int(died.stdout), "all was flushed: the test shows nothing"
    for step in range(position.next_offset + 1):
        assert None not in store.get_many([b"%d-%d" % (step, at) for at in range(300)])
    store.close()
