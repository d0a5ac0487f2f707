"""The local cache of one ledger: RocksDB, raw bytes, one write batch for each transaction."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    MemtableFactory,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from leverframe.schemas.errors import LedgerError

__all__ = ["CachePosition", "Changes", "Memory", "Store", "open_store"]

Changes = Sequence[tuple[bytes, bytes | None]]
"""Keys with their new values; None deletes."""

# Local only, never in the changelog: where in the changelog this cache stands.
_POSITION_KEY: Final = b"\x00\x00place"  # as caches on disk have it


class CachePosition(msgspec.Struct, array_like=True, frozen=True):
    """Where in its changelog a cache stands: next offset to read, and when it was written (ms).

    ``topic_id`` is the changelog's: one that is made anew has another.
    """

    next_offset: int
    written_at_ms: int
    topic_id: str = ""


class Memory:
    """What all stores of a process share, so that memory does not grow with their number.

    ``cache_bytes`` are of blocks, with the indexes and filters of all files, ``write_bytes`` of
    memtables: beyond them the store that is written to flushes early.
    """

    def __init__(self, cache_bytes: int, write_bytes: int) -> None:
        # A read asks the filter of several files; the plain LRU cache takes a lock for each.
        self.cache: Any = Cache.new_hyper_clock_cache(cache_bytes, 0)
        self.writes: Any = WriteBufferManager(write_bytes, False)  # noqa: FBT003 - its signature


class Store:
    """RocksDB of one partition, in a folder whose parents exist.

    In bulk it is filled from the changelog: writes are sorted later and have no log of their own.
    Nothing may be read meanwhile, and ``flush`` must come before it is opened for use.
    """

    def __init__(self, path: Path, memory: Memory, *, is_bulk: bool = False) -> None:
        self.path = path
        # Typed loosely: in raw mode keys and values are bytes, which its stubs cannot say.
        self._db: Any = Rdict(str(path), _options(memory, is_bulk=is_bulk))
        self._write_options = _write_options(is_bulk=is_bulk)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Read many keys, duplicates included, in one call; values in their order."""
        if not keys:
            return []
        try:
            found: list[bytes | None] = self._db[keys]
        except Exception as error:
            raise self._unusable(error) from error
        return found

    def scan(
        self, begin: bytes, end: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield at most ``limit`` entries from ``begin`` to before ``end``, in key order."""
        entries = self._db.iter()
        entries.seek(begin)
        count = 0
        while entries.valid():
            key = entries.key()
            if count == limit or (end is not None and key >= end):
                return
            yield key, entries.value()
            count += 1
            entries.next()
        try:
            entries.status()  # at a damaged block the entries just seem to end
        except Exception as error:
            raise self._unusable(error) from error

    def write(self, changes: Changes, position: CachePosition) -> None:
        """Apply the changes of one transaction, and the position after it, as one atomic batch."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(_POSITION_KEY, msgspec.msgpack.encode(position))
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise self._unusable(error) from error

    @property
    def position(self) -> CachePosition | None:
        """Where the cache stands; None for a new one."""
        raw = self._db.get(_POSITION_KEY)
        return None if raw is None else msgspec.msgpack.decode(raw, type=CachePosition)

    def _unusable(self, error: Exception) -> LedgerError:
        """Throw a damaged cache away, so that the next start does not meet it again."""
        if "Corruption" in str(error):
            shutil.rmtree(self.path, ignore_errors=True)
            return LedgerError(
                f"the cache in {self.path} is damaged ({error}). It was thrown away; the next "
                "start restores it from the changelog. When it happens again, check the disk."
            )
        return LedgerError(
            f"the cache in {self.path} cannot be used ({error}). Nothing is lost; see whether the "
            "disk is full or this user may not write there."
        )

    def flush(self) -> None:
        """Put everything that was written into files; other threads go on meanwhile."""
        self._db.flush()

    def close(self) -> None:
        """Flush and release the lock of the folder."""
        self._db.close()


def _write_options(*, is_bulk: bool) -> Any:
    options: Any
    options = WriteOptions()
    # A property, though its stub says a method.
    setattr(options, "disable_wal", is_bulk)  # noqa: B010
    return options


def _options(memory: Memory, *, is_bulk: bool) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - RocksDB's own signature
    options.set_write_buffer_size(32 << 20)
    # What a store takes of the shared memory before it holds anything must be little, since a
    # worker may have a hundred: beyond the bound each write, of whichever store, writes a table.
    options.set_arena_block_size(256 << 10)
    options.set_max_write_buffer_number(3)
    options.set_write_buffer_manager(memory.writes)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(4 << 20)
    options.set_compression_type(DBCompressionType.lz4())
    # One thread writes to a store.
    options.set_allow_concurrent_memtable_write(False)
    if is_bulk:
        options.set_memtable_factory(MemtableFactory.vector())
    else:
        # Most keys of a micro-batch are new: filters answer "not here" without touching a block.
        options.set_memtable_whole_key_filtering(True)
        # Of the buffer: 320 kB, some 13 bits for each of the 200,000 keys that fill it.
        options.set_memtable_prefix_bloom_ratio(0.01)
    table = BlockBasedOptions()
    table.set_block_cache(memory.cache)
    table.set_bloom_filter(10, False)  # noqa: FBT003
    table.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(table)
    return options


def open_store(path: Path, memory: Memory, *, is_bulk: bool = False) -> Store:
    """Open a partition's cache; one that cannot be read is thrown away, since the log is the truth.

    Raises ``LedgerError`` if another process holds the folder, or nothing can be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path, memory, is_bulk=is_bulk)
    except Exception as error:
        # The names of its file: a damaged *block* must not look like it.
        if "/LOCK" in str(error) or "lock hold by" in str(error):
            raise LedgerError(
                f"{path} is in use by another process. Give each worker of a machine its own "
                "[app] datadir."
            ) from error
    shutil.rmtree(path, ignore_errors=True)
    try:
        return _opened(path, memory, is_bulk=is_bulk)
    except Exception as error:
        raise LedgerError(
            f"no cache can be made in {path} ({error}). Nothing is lost; see whether the disk is "
            "full or this user may not write there."
        ) from error


def _opened(path: Path, memory: Memory, *, is_bulk: bool) -> Store:
    store = Store(path, memory, is_bulk=is_bulk)
    try:
        _ = store.position
    except Exception:
        store.close()
        raise
    return store
