"""Workers under a platform that starts each one again as soon as it has ended."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from harness import Deployment
from patience import PATIENCE_S

__all__ = ["Fleet", "flows", "kill", "until"]

_POLL_S: Final = 0.05
_LAUNCHER: Final = ("-m", "drills.launcher")
_ROOT: Final = Path(__file__).parents[1]


async def until(condition: Callable[[], Any], patience_s: float, what: str) -> Any:
    """Wait for a condition; say what did not come true."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s:g} s: {what}")
        await asyncio.sleep(_POLL_S)
    return value


async def flows(pauses: Any) -> None:
    """Wait until every partition has moved since now."""
    began_s = time.monotonic()
    await until(
        lambda: min(pauses.moved_s.values(), default=0.0) > began_s,
        PATIENCE_S,
        "all partitions flow",
    )


def _main_of(checkout: str | None) -> str:
    """The module that is run: before the import root, in a drill with an older version, another."""
    is_old = checkout is not None and not Path(checkout, "leverframe").is_dir()
    return "agents.cli.main" if is_old else "leverframe.agents.cli.main"


class Fleet:
    """The workers of a deployment, by name.

    Parameters
    ----------
    deployment : Deployment
        Whose workers they are.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.exits: list[tuple[str, int]] = []
        self.mark = deployment.folder / "faults-reached"
        self._base: dict[str, dict[str, str]] = {}
        self._log_begins: dict[str, int] = {}

    def start(self, name: str, *, base: dict[str, str] | None = None, **fault: str) -> None:
        """Start a worker; ``base`` is its environment for good, ``fault`` for this one start."""
        if base is not None:
            self._base[name] = base
        more = {**self._base.get(name, {}), **fault}
        command = ("-m", _main_of(more.get("PYTHONPATH")), "worker")
        if any(key.startswith("DRILL_") for key in more):
            command = _LAUNCHER
            more.setdefault("PYTHONPATH", str(_ROOT))
            more["DRILL_MARK"] = str(self.mark)
        # As installed: a worker does not compile its own code at each start.
        more.setdefault("PYTHONDONTWRITEBYTECODE", "")
        more.setdefault("PYTHONPYCACHEPREFIX", str(self.deployment.folder.parent / "bytecode"))
        log = self._log(name)
        self._log_begins[name] = log.stat().st_size if log.exists() else 0
        self.running[name] = self.deployment.start(name, command, **more)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a worker that was started here."""
        self.running[name].send_signal(number)

    async def dismiss(self, name: str, patience_s: float = PATIENCE_S) -> int:
        """End a worker by SIGTERM for good; return its exit code."""
        worker = self.running.pop(name)
        worker.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(worker.wait, patience_s)

    def is_up(self, name: str) -> bool:
        """Whether it runs now."""
        return name in self.running and self.running[name].poll() is None

    def reached(self) -> int:
        """How many armed faults were reached."""
        return len(self.mark.read_text().splitlines()) if self.mark.exists() else 0

    def _log(self, name: str) -> Path:
        return self.deployment.folder / f"{name}.log"

    def opened(self, name: str) -> int:
        """How many ledgers the newest process of a worker has opened."""
        if not self._log(name).exists():
            return 0
        with self._log(name).open("rb") as log:
            log.seek(self._log_begins.get(name, 0))
            return len(re.findall(rb"-\d+: open", log.read()))

    def has_joined(self, name: str) -> bool:
        """Whether the newest process of a worker has begun its work."""
        return self.is_up(name) and self.opened(name) > 0

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Start again what ends, while inside; end all that runs when it is left."""
        task = asyncio.create_task(self._supervise())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.deployment.stop_all()

    async def _supervise(self) -> None:
        while True:
            for name, worker in list(self.running.items()):
                code = worker.poll()
                if code is not None and self.running.get(name) is worker:
                    self.exits.append((name, code))
                    self.start(name)
            await asyncio.sleep(_POLL_S)


def kill(worker: subprocess.Popen[bytes]) -> None:
    """``kill -9`` a process that was started here, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
