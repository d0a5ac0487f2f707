"""Turns on a machine that several benches share."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["turn"]

_PAUSE_S: Final = 0.3


@contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Hold a file's lock for the length of one measurement, as ``flock FILE`` does."""
    if lock is None:
        yield
        return
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
        time.sleep(_PAUSE_S)  # whoever waits comes first
