"""Processes by pid *and* start time: a pid used again is not taken for its first owner."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["is_running", "spawn", "start_mark", "terminate", "wait_until"]

_POLL_S: Final = 0.02
_KILL_GRACE_S: Final = 5.0


def start_mark(pid: int) -> str | None:
    """Return a text that no later process with this pid will have.

    Made from the process's start time; None when it does not run, or is dead but unreaped.
    """
    if not Path("/proc/self/stat").exists():
        return _start_mark_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, ticks_since_boot = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot_id()} {ticks_since_boot}"


def is_running(pid: int, mark: str) -> bool:
    """Tell whether the very process that had this mark still runs.

    False also when another process has the pid now.
    """
    found = start_mark(pid)
    if found is None:
        with suppress(ChildProcessError):  # not our child: its parent reaps it
            os.waitpid(pid, os.WNOHANG)
    return found == mark


def spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str], *, dies_with_us: bool
) -> int:
    """Start a process in a session of its own, so that Ctrl-C reaches us and not it."""
    words = list(command)
    if dies_with_us and (setpriv := shutil.which("setpriv")):
        words = [setpriv, "--pdeathsig", "TERM", "--", *words]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(words[0], words, environment, file_actions=actions, setsid=True)


def terminate(pid: int, mark: str, timeout_s: float) -> bool:
    """End a process: ask, wait, and kill it if it does not go.

    Whether it went by itself. True also when it did not run any more.
    """
    for signal_number, grace_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, _KILL_GRACE_S)):
        if not is_running(pid, mark):
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)
        if wait_until(lambda: not is_running(pid, mark), grace_s):
            return signal_number == signal.SIGTERM
    return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition, looking 50 times a second."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _boot_id() -> str:
    """Return which boot of the machine this is, where the system tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_mark_by_ps(pid: int) -> str | None:
    """Ask ``ps``, where there is no /proc."""
    ps = shutil.which("ps")
    if ps is None:
        return None
    answer = subprocess.run(  # noqa: S603 - a number is all that goes in
        [ps, "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()
