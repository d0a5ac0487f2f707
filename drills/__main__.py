"""``python -m drills``: run drills and print their table; see ``make drills``."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from drills import brokers, changes, workers
from drills.cluster import three_brokers
from drills.drill import Drill, Place, Result, run_drill
from drills.table import print_table, write_results
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker

# Injections of a full run, and of the usual one; together 5 million labels at the full rate.
SCALES: Final = {
    "kill-random": (120, 12),
    "kill-points": (95, 19),
    "disk-harm": (27, 9),
    "zombie": (20, 4),
    "rebalance": (50, 8),
    "takeover": (10, 2),
    "sigterm": (10, 2),
    "broker-kill": (10, 3),
    "leader-change": (10, 3),
    "network-cut": (20, 4),
    "network-slow": (6, 2),
    "clock": (8, 2),
    "upgrade": (3, 3),
    "throughput": (4, 2),
    "rolling": (9, 3),
}
WORKERS: Final[dict[str, Drill]] = {
    drill.name: drill for drill in (*workers.DRILLS, *changes.DRILLS)
}
UPGRADE: Final = "upgrade"


def main() -> int:
    """Run what the arguments ask for; 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(prog="drills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="DRILL", help=f"of {', '.join(SCALES)}")
    parser.add_argument("--full", action="store_true", help="as many injections as we promise by")
    parser.add_argument("--times", type=int, help="injections of each drill")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--session", type=float, default=3.0, help="session time, s")
    parser.add_argument("--old", help="version (git) from which to upgrade; else each tag")
    parser.add_argument("--folder", type=Path, help="keep logs and state here")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    options.full = options.full or bool(os.environ.get("FULL"))
    if unknown := set(options.names) - SCALES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="drills-") as scratch:
        results = asyncio.run(run_all(options, options.folder or Path(scratch)))
    print_table(results)
    if options.json:
        write_results(options.json, results)
    return int(not all(result.is_good for result in results))


async def run_all(options: argparse.Namespace, folder: Path) -> list[Result]:
    """Run the drills one after another: those on workers on one broker, the others on three."""
    began_s = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - began_s:7.1f} s  {line}", file=sys.stderr, flush=True)

    warm_up(folder)
    names = options.names or list(SCALES)
    results: list[Result] = []

    async def run(drill: Drill, **where: Any) -> None:
        again = sum(result.drill == drill.name for result in results)
        place = Place(
            folder=folder / f"{drill.name}-{again}" if again else folder / drill.name,
            seed=options.seed * 1000 + list(SCALES).index(drill.name) + 100 * again,
            rate=options.rate or (3000.0 if options.full else 1500.0),
            session_s=options.session,
            report=report,
            **where,
        )
        times = options.times or SCALES[drill.name][0 if options.full else 1]
        results.append(await run_drill(drill, place, times))
        report(f"{drill.name}: {'held' if results[-1].is_good else results[-1].faults}")

    on_one = WORKERS.keys() | {UPGRADE}
    if on_workers := [name for name in names if name in on_one]:
        with one_broker(folder, report) as servers:
            for name in on_workers:
                for drill in drills_of(name, options.old):
                    await run(drill, servers=servers)
    if on_brokers := [name for name in names if name not in on_one]:
        async with three_brokers(folder, report) as cluster:
            drills = brokers.drills_on(cluster)
            for name in on_brokers:
                await run(
                    drills[name],
                    servers=cluster.servers,
                    worker_servers=cluster.worker_servers,
                    replication=3,
                )
    return results


def drills_of(name: str, old: str | None) -> list[Drill]:
    """Return the drill of that name; of an upgrade one from each released version."""
    if name != UPGRADE:
        return [WORKERS[name]]
    return [changes.upgrade_from(ref) for ref in ([old] if old else changes.released())]


def warm_up(folder: Path) -> None:
    """Compile what workers import, as an installed worker's is: the first start is like any."""
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    words = [
        sys.executable,
        "-c",
        "import leverframe.agents.worker.run, leverframe.agents.cli.worker, drills.launcher",
    ]
    subprocess.run(words, env=environment, check=True)


@contextmanager
def one_broker(folder: Path, report: Callable[[str], None]) -> Iterator[str]:
    """Give the address of a broker of our own."""
    running = start_broker(
        data_dir=folder / "broker",
        port=None,
        cache=cache_root(),
        report=report,
        detached=False,
        extra_properties={"group.min.session.timeout.ms": "1000"},
    )
    try:
        yield running.bootstrap
    finally:
        running.stop()


if __name__ == "__main__":
    sys.exit(main())
