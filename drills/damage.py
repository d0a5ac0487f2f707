"""What can happen to the folder of a worker that is not running."""

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

__all__ = ["DAMAGES", "damage"]


def _stores(datadir: Path) -> list[Path]:
    """Folders of the caches: those that RocksDB manages."""
    return sorted(path.parent for path in datadir.rglob("CURRENT"))


def _files(datadir: Path, pattern: str) -> Iterable[Path]:
    return [path for store in _stores(datadir) for path in sorted(store.glob(pattern))]


def lose_all(datadir: Path, rng: random.Random) -> None:
    """Delete the whole folder."""
    del rng
    shutil.rmtree(datadir, ignore_errors=True)


def lose_one(datadir: Path, rng: random.Random) -> None:
    """Delete one partition's cache."""
    if stores := _stores(datadir):
        shutil.rmtree(rng.choice(stores))


def truncate_sst(datadir: Path, rng: random.Random) -> None:
    """Cut every table file somewhere."""
    for path in _files(datadir, "*.sst"):
        with path.open("r+b") as file:
            file.truncate(rng.randrange(path.stat().st_size + 1))


def flip_sst(datadir: Path, rng: random.Random) -> None:
    """Change bytes of every table file, at its old length."""
    _flip(_files(datadir, "*.sst"), rng)


def delete_wal(datadir: Path, rng: random.Random) -> None:
    """Delete RocksDB's own logs."""
    del rng
    for path in _files(datadir, "*.log"):
        path.unlink()


def truncate_wal(datadir: Path, rng: random.Random) -> None:
    """Cut every log of RocksDB somewhere, as a full disk or a power cut would."""
    for path in _files(datadir, "*.log"):
        with path.open("r+b") as file:
            file.truncate(rng.randrange(path.stat().st_size + 1))


def flip_wal(datadir: Path, rng: random.Random) -> None:
    """Change bytes in every log of RocksDB."""
    _flip(_files(datadir, "*.log"), rng)


def lose_manifest(datadir: Path, rng: random.Random) -> None:
    """Delete what says which files belong together."""
    del rng
    for path in _files(datadir, "MANIFEST-*"):
        path.unlink()


def _flip(paths: Iterable[Path], rng: random.Random) -> None:
    for path in paths:
        size = path.stat().st_size
        if size:
            with path.open("r+b") as file:
                for _ in range(1 + size // 4096):
                    file.seek(rng.randrange(size))
                    file.write(rng.randbytes(1))


DAMAGES: Final[dict[str, Callable[[Path, random.Random], None]]] = {
    "folder lost": lose_all,
    "one cache lost": lose_one,
    "SST truncated": truncate_sst,
    "SST flipped": flip_sst,
    "WAL deleted": delete_wal,
    "WAL truncated": truncate_wal,
    "WAL flipped": flip_wal,
    "MANIFEST lost": lose_manifest,
}


def damage(name: str, datadir: Path, rng: random.Random) -> None:
    """Do one kind of damage to a folder that nobody uses."""
    DAMAGES[name](datadir, rng)
