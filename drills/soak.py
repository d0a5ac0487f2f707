"""``python -m drills.soak``: a fixed rate for long; memory, descriptors, disk and lag stay flat.

The attribution window is short beside the run and RocksDB's block cache is small, so that what is
kept must reach its bound early.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
import psutil
from harness import Deployment, committed_lag

from drills.__main__ import one_broker, warm_up
from drills.arrivals import Arrivals
from drills.drill import SHADOWS_COUNT
from drills.fleet import Fleet, until
from drills.sending import sending
from drills.verdict import judge
from drills.watching import following

__all__ = ["Sample", "faults_of", "slope"]

_EVERY_S: Final = 5.0
_BLOCKS: Final = 12


class Sample(NamedTuple):
    """One look at the worker."""

    at_s: float
    rss_mb: float
    descriptors: int
    disk_mb: float
    lag: int


def slope(x: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]") -> tuple[float, float, float]:
    """Return slope and its 95 % interval, from means of blocks, as neighbours are alike."""
    from scipy import stats

    blocks = min(_BLOCKS, len(x))
    xs = np.array([part.mean() for part in np.array_split(x, blocks)])
    ys = np.array([part.mean() for part in np.array_split(y, blocks)])
    fit = stats.linregress(xs, ys)
    half = float(stats.t.ppf(0.975, max(1, blocks - 2)) * fit.stderr)
    return float(fit.slope), float(fit.slope) - half, float(fit.slope) + half


def faults_of(samples: list[Sample], mb_per_hour: float) -> tuple[list[str], dict[str, Any]]:
    """Judge the second half of a run, when everything has reached its size."""
    late = samples[len(samples) // 2 :]
    hours = np.array([sample.at_s / 3600 for sample in late])
    told = {
        name: [
            round(value, 2) for value in slope(hours, np.array([getattr(s, name) for s in late]))
        ]
        for name in ("rss_mb", "descriptors", "disk_mb", "lag")
    }
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    faults = []
    if told["rss_mb"][1] > mb_per_hour:
        faults.append(f"memory grows: {told['rss_mb']} MB an hour (slope, 95 % interval)")
    if max(s.descriptors for s in last) > max(s.descriptors for s in middle) + 8:
        faults.append("file descriptors grow")
    if max(s.disk_mb for s in last) > 1.5 * max(s.disk_mb for s in middle):
        faults.append("the disk grows beyond what the window holds")
    if np.median([s.lag for s in last]) > 2 * np.median([s.lag for s in middle]) + 1000:
        faults.append("the lag grows")
    return faults, told


def stored(folder: Path) -> int:
    """Bytes in a folder; a file that goes away meanwhile counts for nothing."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size if path.is_file() else 0
    return size


async def soak(options: argparse.Namespace, servers: str, folder: Path) -> list[str]:
    """Run, look, judge; return what is not as promised."""
    deployment = await Deployment.create(
        servers,
        "soak-",
        folder,
        LEVERFRAME_APP__MAX_VALUE_BYTES="16384",
        LEVERFRAME_APP__BLOCK_CACHE_MB="4",
        **SHADOWS_COUNT,
        **{"LEVERFRAME_ROUTES__*__WINDOW_S": str(options.window)},
    )
    arrivals, fleet, samples = Arrivals(options.seed), Fleet(deployment), list[Sample]()
    async with AsyncExitStack() as stack:
        subscriber = await stack.enter_async_context(following(deployment))
        await stack.enter_async_context(fleet.supervised())
        fleet.start("w0")
        await until(lambda: fleet.has_joined("w0"), 60, "the worker has joined")
        process = psutil.Process(fleet.running["w0"].pid)
        load = await stack.enter_async_context(sending(deployment, arrivals, options.rate))
        began_s = time.monotonic()
        while (at_s := time.monotonic() - began_s) < options.minutes * 60:
            size = stored(deployment.datadir("w0"))
            samples.append(
                Sample(
                    round(at_s, 1),
                    process.memory_info().rss / 2**20,
                    process.num_fds(),
                    size / 2**20,
                    await committed_lag(deployment),
                )
            )
            print(f"{samples[-1]}", file=sys.stderr, flush=True)
            await asyncio.sleep(_EVERY_S)
        await load.finish()
        verdict = await judge(deployment, arrivals, load.requests, subscriber)
    faults, told = faults_of(samples, options.mb_per_hour)
    faults += [f"ended by itself: {each}" for each in fleet.exits]
    _plot(samples, options.plot)
    summary = {
        "minutes": options.minutes,
        "rate": options.rate,
        "labels": verdict.rewards.labels,
        "slopes an hour, with interval": told,
        "last": samples[-1]._asdict(),
        "faults": faults + verdict.faults,
    }
    print(json.dumps(summary, indent=1))
    return faults + verdict.faults


def _plot(samples: list[Sample], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(8, 8), layout="constrained")
    minutes = [sample.at_s / 60 for sample in samples]
    for axis, name in zip(axes, ("rss_mb", "descriptors", "disk_mb", "lag"), strict=True):
        axis.plot(minutes, [getattr(sample, name) for sample in samples])
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> int:
    """Run the soak; 1 if something grew, was lost or came twice."""
    parser = argparse.ArgumentParser(prog="drills.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second")
    parser.add_argument("--window", type=float, default=60.0, help="attribution window, s")
    parser.add_argument("--mb-per-hour", type=float, default=20.0, help="slope that is still flat")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--plot", type=Path, default=Path("drills-output/soak.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        folder = Path(scratch) / "soak"
        folder.mkdir()
        warm_up(Path(scratch))
        with one_broker(Path(scratch), print) as servers:
            return int(bool(asyncio.run(soak(options, servers, folder))))


if __name__ == "__main__":
    sys.exit(main())
