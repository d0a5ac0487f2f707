"""One worker as several processes, so that it uses several cores: they share its partitions.

Every process is a member of the consumer group. They begin together and end together: whatever
takes one of them down takes all of them down, and the platform starts the worker again.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from leverframe.streams.runtime.logger import make_logger

__all__ = ["fork_into"]

log = make_logger()

# More than a process takes that cannot end in order (agents/worker/run.py), and less than 20 s.
_GRACE_S: Final = 18
_ASKED_TO_END: Final = (signal.SIGTERM, signal.SIGINT)


def fork_into(count: int) -> int:
    """Become the parent of so many processes; return only in these, with their number from 0.

    The calling process must have one thread, and no event loop. It then waits until the others
    have ended, passes SIGTERM and SIGINT on to them, and ends itself.
    """
    parents_end, _kept_open = os.pipe()
    pids: dict[int, int] = {}
    # Whoever asks the parent to end meanwhile is heard when it can pass that on.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED_TO_END)
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(_kept_open)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED_TO_END)
            # Ctrl-C reaches the parent alone, which passes it on once.
            os.setpgid(0, 0)
            threading.Thread(target=_end_with, args=(parents_end,), daemon=True).start()
            return number
        pids[pid] = number
    os.close(parents_end)
    sys.exit(_wait(pids))


def _end_with(parents_end: int) -> None:
    """Nobody writes to the pipe: reading ends when the parent does, however that happens."""
    os.read(parents_end, 1)
    os._exit(1)


def _send(signal_number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def _wait(pids: dict[int, int]) -> int:
    """Return the exit code: of the first process that ended by itself, else the worst."""
    running = dict(pids)
    is_stopping = False

    def stop(*_: Any) -> None:
        nonlocal is_stopping
        is_stopping = True
        _send(signal.SIGTERM, running)
        signal.alarm(_GRACE_S)

    for asked in _ASKED_TO_END:
        signal.signal(asked, stop)
    signal.signal(signal.SIGALRM, lambda *_: _send(signal.SIGKILL, running))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKED_TO_END)
    exit_code = 0
    while running:
        pid, status = os.wait()
        number = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        how = f"exit code {code}" if code >= 0 else f"by signal {-code}"
        if is_stopping:
            if code:
                exit_code = exit_code or max(code, 1)
                log.warning(
                    "process_ended",
                    message=f"process {number} of the worker did not end in order ({how}); "
                    "nothing is lost, its partitions move when its session has passed",
                    number=number,
                )
            continue
        log.critical(
            "process_ended",
            message=f"process {number} of the worker ended ({how}); the others are stopped, "
            "start the worker again",
            number=number,
        )
        # Also when it ended in peace: nobody asked it to, and its share of the work stands still.
        exit_code = max(code, 1)
        stop()
    return exit_code
