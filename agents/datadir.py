"""One worker for each data folder: a lock that ends with the process, and who holds it."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from leverframe.schemas.errors import SettingsError

__all__ = ["claim", "holder"]

_NAME: Final = "worker.lock"
# A worker that was killed a moment ago may still be on its way out.
_PATIENCE_S: Final = 1.0
_PAUSE_S: Final = 0.05


def claim(datadir: Path) -> int:
    """Take a data folder for this process and those that it forks, until the last of them ends.

    Returns the descriptor that holds the lock, which is never closed; ``SettingsError`` names the
    process that has the folder.
    """
    try:
        datadir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(datadir / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SettingsError(f"[app] datadir {datadir}: {error.strerror}") from error
    deadline = time.monotonic() + _PATIENCE_S
    while not _is_taken(descriptor):
        if time.monotonic() > deadline:
            pid = _written(descriptor)
            os.close(descriptor)
            raise SettingsError(
                f"[app] datadir {datadir} is in use by another worker (process {pid or 'unknown'}):"
                " stop it, or give each worker of a machine its own datadir; to use several cores "
                "set [app] processes"
            )
        time.sleep(_PAUSE_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(datadir: Path) -> int:
    """Return the process that has a data folder; 0 when nobody has it, or that cannot be told."""
    try:
        descriptor = os.open(datadir / _NAME, os.O_RDONLY)
    except OSError:
        return 0
    try:
        # Shared, so that two who ask are not in each other's way; let go at once.
        return 0 if _is_taken(descriptor, fcntl.LOCK_SH) else _written(descriptor)
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _written(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0
