"""``python -m drills``: run drills and print their table; see ``make drills``."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from agents.devbroker.assets import cache_root
from agents.devbroker.broker import start_broker
from drills import workers
from drills.drill import Drill, Place, Result, run_drill
from drills.table import print_table, write_results

# Injections of a full run, and of the usual one; together 5 million labels at the full rate.
SCALES: Final = {
    "kill-random": (120, 12),
    "kill-points": (95, 19),
    "disk-harm": (27, 9),
    "zombie": (20, 4),
    "rebalance": (50, 8),
    "takeover": (10, 2),
    "sigterm": (10, 2),
}
DRILLS: Final[dict[str, Drill]] = {drill.name: drill for drill in workers.DRILLS}


def main() -> int:
    """Run what the arguments ask for; 1 if anything was not as promised."""
    parser = argparse.ArgumentParser(prog="drills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="DRILL", help=f"of {', '.join(DRILLS)}")
    parser.add_argument("--full", action="store_true", help="as many injections as we promise by")
    parser.add_argument("--times", type=int, help="injections of each drill")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--session", type=float, default=3.0, help="session time, s")
    parser.add_argument("--folder", type=Path, help="keep logs and state here")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    options.full = options.full or bool(os.environ.get("FULL"))
    if unknown := set(options.names) - DRILLS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="drills-") as scratch:
        results = asyncio.run(run_all(options, options.folder or Path(scratch)))
    print_table(results)
    if options.json:
        write_results(options.json, results)
    return int(not all(result.is_good for result in results))


async def run_all(options: argparse.Namespace, folder: Path) -> list[Result]:
    """Run the drills one after another, on one broker."""
    began_s = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - began_s:7.1f} s  {line}", file=sys.stderr, flush=True)

    running = start_broker(
        data_dir=folder / "broker",
        port=None,
        cache=cache_root(),
        report=report,
        detached=False,
        extra_properties={"group.min.session.timeout.ms": "1000"},
    )
    results = []
    try:
        for at, name in enumerate(options.names or DRILLS):
            place = Place(
                servers=running.bootstrap,
                folder=folder / name,
                seed=options.seed * 1000 + at,
                rate=options.rate or (3000.0 if options.full else 1500.0),
                session_s=options.session,
                report=report,
            )
            times = options.times or SCALES[name][0 if options.full else 1]
            results.append(await run_drill(DRILLS[name], place, times))
            report(f"{name}: {'held' if results[-1].is_good else results[-1].faults}")
    finally:
        running.stop()
    return results


if __name__ == "__main__":
    sys.exit(main())
