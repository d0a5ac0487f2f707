"""A cache whose files were damaged is never believed, and met only once."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime import consumers
from leverframe.streams.runtime import restore as restoring
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.store import CachePosition, Memory, Store, open_store

MEMORY = Memory(1 << 20, 8 << 20)
KEYS = [b"k%05d" % number for number in range(5000)]


def _filled(path: Path) -> None:
    rng = random.Random(1)
    store = open_store(path, MEMORY)
    store.write([(key, rng.randbytes(60)) for key in KEYS], CachePosition(7, 1))
    store.flush()
    store.close()


def _flip(path: Path, at: float) -> None:
    for file in path.glob("*.sst"):
        with file.open("r+b") as table:
            table.seek(int(file.stat().st_size * at))
            table.write(b"\x5a\xa5\x5a")


@pytest.mark.parametrize("read", ["get", "scan"])
def test_damaged_block_ends_the_worker_once(tmp_path: Path, read: str) -> None:
    """Reading it says what happened, and the next start begins with an empty cache."""
    _filled(tmp_path / "0")
    _flip(tmp_path / "0", 0.4)
    store = open_store(tmp_path / "0", MEMORY)
    with pytest.raises(LedgerError, match="damaged"):
        _ = store.get_many(KEYS) if read == "get" else list(store.scan(b"k"))
    store.close()
    again = open_store(tmp_path / "0", MEMORY)
    assert again.position is None
    again.close()


def test_damage_at_the_place_or_in_the_index_is_an_empty_cache(tmp_path: Path) -> None:
    """Such a folder is no "lock", though the error's text speaks of a block."""
    for at in (0.0, 0.97, 0.99):
        _filled(tmp_path / str(at))
        _flip(tmp_path / str(at), at)
        store = open_store(tmp_path / str(at), MEMORY)
        if store.position is None:
            assert list(store.scan(b"k")) == []
        store.close()


def test_folder_in_use_is_said_to_be(tmp_path: Path) -> None:
    """And it is left alone."""
    first = open_store(tmp_path / "0", MEMORY)
    first.write([(b"k", b"v")], CachePosition(1, 1))
    with pytest.raises(LedgerError, match="in use by another process"):
        open_store(tmp_path / "0", MEMORY)
    assert first.get_many([b"k"]) == [b"v"]
    first.close()


def test_folder_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    """Not an unexpected error with a trace."""
    (tmp_path / "file").write_text("")
    with pytest.raises((LedgerError, OSError)):
        open_store(tmp_path / "file" / "0", MEMORY)


class SlowToStop:
    """A consumer of an empty changelog that takes its time to stop."""

    def __init__(self, **_: Any) -> None:
        self.stopping = asyncio.Event()
        CONSUMERS.append(self)

    async def start(self) -> None:
        pass

    def assign(self, _: Any) -> None:
        pass

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    end_offsets = beginning_offsets

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.sleep(30)


CONSUMERS: list[SlowToStop] = []


def test_cancelled_restore_leaves_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when the cancellation comes while its consumer stops."""
    monkeypatch.setattr(consumers, "AIOKafkaConsumer", SlowToStop)

    async def cancelled() -> None:
        task = asyncio.create_task(
            restoring.restore(tmp_path / "0", MEMORY, "t", 0, BrokerSettings())
        )
        await asyncio.sleep(0)
        await CONSUMERS[-1].stopping.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    store = Store(tmp_path / "0", MEMORY)
    store.close()
