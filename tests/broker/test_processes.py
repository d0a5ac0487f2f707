"""One worker as several processes, on a real broker: they share the work and their end."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harness import Deployment, Script, produce, verify
from patience import PATIENCE_S, until

pytestmark = pytest.mark.broker

PROCESSES = {"LEVERFRAME_APP__PROCESSES": "2"}


def children(pid: int) -> list[int]:
    """Of a process, from Linux."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def open_files(pid: int) -> list[Path]:
    found = []
    with suppress(OSError):  # it may end meanwhile
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(link.readlink())
    return found


def holds_a_ledger(pid: int) -> bool:
    return any(held.name == "LOCK" for held in open_files(pid))


@pytest.fixture
def started(deploy: Callable[..., Any]) -> Callable[[], tuple[Deployment, Any, list[int]]]:
    """Start a worker of two processes; return it with their pids, once each has a partition."""

    def start() -> tuple[Deployment, Any, list[int]]:
        deployment = asyncio.run(deploy(**PROCESSES))
        worker = deployment.start()
        until(lambda: deployment.log().count(": open,") >= 6, "six ledgers are open")
        return deployment, worker, children(worker.pid)

    return start


def test_processes_share_the_work_and_end_in_peace(started: Callable[..., Any]) -> None:
    """Every pair is rewarded once, both processes hold partitions, SIGTERM ends all in peace."""
    deployment, worker, pids = started()
    assert len(pids) == 2
    # A partition may still be on its way from the first process to the second.
    until(lambda: all(map(holds_a_ledger, pids)), "both processes hold a ledger")

    async def work() -> None:
        script = Script(pairs=3000, seed=7)
        await produce(deployment, script, per_second=3000)
        await verify(deployment, script)

    asyncio.run(work())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0, deployment.log()[-4000:]
    assert not any(map(is_running, pids))


def test_one_process_that_is_killed_ends_all(started: Callable[..., Any]) -> None:
    """The exit code says that it was no peaceful end, and the log says which one."""
    deployment, worker, (_, second) = started()
    os.kill(second, signal.SIGKILL)
    assert worker.wait(timeout=PATIENCE_S) == 1
    assert "process 1 of the worker ended (by signal 9)" in deployment.log()


def test_no_process_outlives_a_killed_parent(started: Callable[..., Any]) -> None:
    """Nobody is left who could hold the partitions or the local state."""
    _, worker, pids = started()
    worker.kill()
    worker.wait()
    until(lambda: not any(map(is_running, pids)), "all processes have ended")
