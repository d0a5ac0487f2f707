"""How fast a worker restores after the loss of its disk: ``python -m bench.restore``.

A worker takes ``--count`` predictions and is stopped, its datadir is deleted, and a new worker
reads the changelog that the first one wrote. All partitions restore at once; the time is that of
the last one to open, from the take-over of the partition to the ledger that may commit.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench.rig.drain import bench_settings
from bench.rig.filling import check, fill, running_worker
from bench.rig.servers import bench_broker
from bench.rig.usage import resident_mb
from leverframe.agents.settings import Settings
from leverframe.streams.runtime.topic_admin import create_topics

_OPENED = re.compile(r"-attribution-\d+: open, (\d+) entries restored in ([0-9.]+) s")
_PATIENCE_S = 600.0


async def opened(
    settings: Settings, log: Path, worker: subprocess.Popen[bytes]
) -> list[tuple[int, float]]:
    """Wait for all partitions of the join; return entries and seconds of each."""
    since_s = time.monotonic()
    while True:
        found = _OPENED.findall(await asyncio.to_thread(log.read_text))
        if len(found) == settings.topics.partitions:
            return [(int(entries), float(seconds)) for entries, seconds in found]
        check(worker, log, since_s, _PATIENCE_S)
        await asyncio.sleep(0.05)


async def measure(servers: str, count: int, runs: int) -> None:
    """Fill, then lose the disk and restore, ``runs`` times; print each."""
    with tempfile.TemporaryDirectory() as folder:
        datadir = Path(folder) / "data"
        settings, environment = bench_settings(servers, datadir)
        await create_topics(settings.broker, settings.declared_topics(), 1)
        log = Path(folder) / "first.log"
        with running_worker(environment, log) as worker:
            await fill(settings, count, worker, log)
        for run in range(runs):
            shutil.rmtree(datadir)
            log = Path(folder) / f"restored-{run}.log"
            with running_worker(environment, log) as worker:
                found = await opened(settings, log, worker)
                memory = resident_mb(worker.pid)
            entries, seconds = sum(n for n, _ in found), max(s for _, s in found)
            if entries < count:
                raise RuntimeError(f"{entries:,} entries restored of {count:,}")
            print(
                f"run {run}: {entries:,} entries on {len(found)} partitions in {seconds:.1f} s: "
                f"{entries / seconds:,.0f} entries/s; peak resident memory {memory['peak']:,} MB",
                flush=True,
            )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="waiting predictions")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with bench_broker() as servers:
        asyncio.run(measure(servers, options.count, options.runs))


if __name__ == "__main__":
    main()
