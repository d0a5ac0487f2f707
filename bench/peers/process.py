"""A contender's process: started, looked at from outside, and ended by its pid."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from bench.peers.contender import Program
from leverframe.devbroker.processes import is_running, spawn, start_mark, terminate

__all__ = ["Running", "running"]

_STOP_S: Final = 20.0
_TAIL_CHARACTERS: Final = 3000


class Running(Struct, frozen=True, kw_only=True):
    """A process that was started.

    Attributes
    ----------
    pid : int
        Of the process.
    mark : str
        Tells it from a later process with the same pid.
    log : Path
        What it writes.
    """

    pid: int
    mark: str
    log: Path

    def is_running(self) -> bool:
        """Tell whether it still runs.

        False once it has ended.
        """
        return is_running(self.pid, self.mark)

    def last_words(self) -> str:
        """Return the end of the log."""
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return text[-_TAIL_CHARACTERS:]


@contextmanager
def running(program: Program, log: Path) -> Iterator[Running]:
    """Run a program for the length of a ``with`` block."""
    environment = {**os.environ, **program.environment}
    pid = spawn(program.argv, log, environment, dies_with_us=True)
    mark = start_mark(pid) or ""
    try:
        yield Running(pid=pid, mark=mark, log=log)
    finally:
        terminate(pid, mark, _STOP_S)
        # Its first thread may be gone before the others: whoever is next must not share with them.
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
