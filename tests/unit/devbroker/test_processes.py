import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S

from leverframe.devbroker.processes import is_running, spawn, start_mark, terminate, wait_until
from leverframe.devbroker.state import BrokerState, forget_state, read_state, write_state

IDLE = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"


@pytest.fixture
def spawned() -> Iterator[list[tuple[int, str]]]:
    """Collect started processes; those that still run are ended."""
    processes: list[tuple[int, str]] = []
    yield processes
    for pid, mark in processes:
        terminate(pid, mark, 0)


def spawn_python(code: str, log: Path, spawned: list[tuple[int, str]]) -> tuple[int, str]:
    pid = spawn([sys.executable, "-c", code], log, os.environ, dies_with_us=True)
    mark = start_mark(pid)
    assert mark
    spawned.append((pid, mark))
    assert wait_until(lambda: "ready" in log.read_text(), PATIENCE_S)
    return pid, mark


def state_of(pid: int, mark: str) -> BrokerState:
    return BrokerState(
        pid=pid, start_mark=mark, port=9092, log="/log", kafka_version="4", started_at_ms=0
    )


def own_mark() -> str:
    mark = start_mark(os.getpid())
    assert mark
    return mark


def test_terminate_ends_a_process_that_obeys(
    tmp_path: Path, spawned: list[tuple[int, str]]
) -> None:
    """A process that obeys SIGTERM goes by itself; ending it again does no harm."""
    pid, mark = spawn_python(IDLE, tmp_path / "log", spawned)
    assert is_running(pid, mark)
    assert terminate(pid, mark, PATIENCE_S)
    assert not is_running(pid, mark)
    assert terminate(pid, mark, 0)


def test_terminate_kills_a_process_that_does_not_go(
    tmp_path: Path, spawned: list[tuple[int, str]]
) -> None:
    """A process that ignores SIGTERM is killed after the timeout, and that is told."""
    pid, mark = spawn_python(STUBBORN, tmp_path / "log", spawned)
    assert not terminate(pid, mark, 0.2)
    assert not is_running(pid, mark)


def test_pid_used_again_is_not_taken_for_its_first_owner() -> None:
    """Another start time under the same pid means: ours is gone, and this one is left alone."""
    assert is_running(os.getpid(), own_mark())
    assert not is_running(os.getpid(), "of another time")
    assert terminate(os.getpid(), "of another time", 0)


def test_state_is_read_by_anyone_while_the_process_runs(tmp_path: Path) -> None:
    """What one process wrote another one reads back."""
    state = state_of(os.getpid(), own_mark())
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert state.bootstrap == "127.0.0.1:9092"


def test_state_of_a_process_that_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    """A state file left by a crash, its pid taken by a stranger, does not name a broker."""
    write_state(tmp_path, state_of(os.getpid(), "of another time"))
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pid": "x"}', b"\xff\xfe"])
def test_unreadable_state_counts_for_nothing(content: bytes, tmp_path: Path) -> None:
    """A damaged state file means that no broker is known, it is no error."""
    (tmp_path / "broker.json").write_bytes(content)
    assert read_state(tmp_path) is None


def test_forgetting_leaves_the_state_of_a_later_broker(tmp_path: Path) -> None:
    """The end of an earlier broker does not hide the one that runs now."""
    now = state_of(os.getpid(), own_mark())
    write_state(tmp_path, now)
    forget_state(tmp_path, state_of(os.getpid(), "of another time"))
    assert read_state(tmp_path) == now
    forget_state(tmp_path, now)
    assert read_state(tmp_path) is None
