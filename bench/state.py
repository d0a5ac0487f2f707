"""How long an application's state takes to a file and from it: ``python -m bench.state``.

A worker takes ``--count`` predictions without labels and ends by SIGTERM. Then ``leverframe state
export`` and ``state import`` into an application of another prefix are timed, as processes.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.rig.drain import bench_settings
from bench.rig.filling import fill, running_worker
from bench.rig.servers import bench_broker
from leverframe.streams.runtime.topic_admin import create_topics

_COMMAND: Final = ("-m", "leverframe.agents.cli.main", "state")


def timed(environment: dict[str, str], *words: str) -> float:
    """Run a command of ours; return the seconds it took, or raise ``RuntimeError``."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, *_COMMAND, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"state {' '.join(words)}: {done.stderr}")
    return time.monotonic() - began_s


async def filled(servers: str, count: int, folder: Path) -> dict[str, str]:
    """Return the environment of an application in which so many predictions wait."""
    settings, environment = bench_settings(servers, folder / "before")
    await create_topics(settings.broker, settings.declared_topics(), 1)
    log = folder / "worker.log"
    with running_worker(environment, log) as worker:
        await fill(settings, count, worker, log)
    return environment


async def beside(servers: str, folder: Path) -> dict[str, str]:
    """Return the environment of an application that has counted nothing yet."""
    settings, environment = bench_settings(servers, folder)
    await create_topics(settings.broker, settings.declared_topics(), 1)
    return environment


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="waiting predictions")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, bench_broker() as servers:
        folder = Path(name)
        environment = asyncio.run(filled(servers, options.count, folder))
        for number in range(options.rounds):
            file = folder / f"{number}.state"
            export_s = timed(environment, "export", str(file))
            other = asyncio.run(beside(servers, folder / f"after-{number}"))
            import_s = timed(other, "import", str(file), "--yes")
            print(
                f"{options.count:,} waiting: export {export_s:.1f} s, import {import_s:.1f} s, "
                f"{file.stat().st_size / 1e6:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
