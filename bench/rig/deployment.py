"""Worker processes of one deployment, looked at from outside."""

import asyncio
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from bench.rig.filling import check, running_worker
from bench.rig.servers import BenchBroker
from bench.rig.usage import machine_s, processor_s
from leverframe.agents.settings import Settings

__all__ = ["Deployment"]

_PATIENCE_S: Final = 120.0
_SETTLE_S: Final = 1.0


class Deployment:
    """The workers of one deployment while they run.

    Parameters
    ----------
    broker : BenchBroker
        Whom they work on.
    settings : Settings
        Theirs.
    folder : Path
        For their datadirs and logs.
    """

    def __init__(self, broker: BenchBroker, settings: Settings, folder: Path) -> None:
        self.broker = broker
        self.settings = settings
        self.folder = folder
        self.workers: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self, stack: ExitStack, environment: dict[str, str], workers: int) -> None:
        """Start workers that end with the stack."""
        self.workers = []
        for number in range(workers):
            log = self.folder / f"worker-{number}.log"
            log.write_bytes(b"")
            own = {"LEVERFRAME_APP__DATADIR": str(self.folder / "data" / str(number))}
            worker = stack.enter_context(running_worker({**environment, **own}, log))
            self.workers.append((worker, log))

    def check(self, since_s: float) -> None:
        """Raise when a worker is gone or all stand still."""
        for worker, log in self.workers:
            check(worker, log, since_s, _PATIENCE_S)

    async def until_ready(self) -> None:
        """Wait until all partitions are open and each worker has one of the join."""
        topics, since_s = self.settings.topics, time.monotonic()
        wanted = topics.partitions + topics.route_partitions
        while True:
            logs = [await asyncio.to_thread(log.read_text) for _, log in self.workers]
            is_open = sum(log.count(": open, ") for log in logs) >= wanted
            if is_open and all("-attribution-" in log for log in logs):
                break
            self.check(since_s)
            await asyncio.sleep(0.1)
        # A second worker takes partitions from the first, which open anew.
        await asyncio.sleep(_SETTLE_S * len(self.workers))

    def pids(self) -> list[int]:
        """Pids of all workers; what they started is counted with them."""
        return [worker.pid for worker, _ in self.workers]

    def spent_s(self) -> np.ndarray:
        """Wall time, and processor time of workers, broker, and all who have no part in this."""
        broker = processor_s(self.broker.pid) if self.broker.pid else float("nan")
        workers = sum(map(processor_s, self.pids()))
        others = machine_s() - workers - broker - time.process_time()
        return np.array([time.perf_counter(), workers, broker, others])
