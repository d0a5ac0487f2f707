"""Drills on what changes around healthy workers: clocks, versions, and how much is lost in time."""

import asyncio
import io
import subprocess
import tarfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from patience import PATIENCE_S

from drills.drill import Drill, Stage
from drills.fleet import flows, until

__all__ = ["DRILLS", "released", "upgrade_from"]

_JUMP_S: Final = 290.0
_HOME: Final = Path(__file__).parents[1]


async def jump_clocks(stage: Stage, times: int) -> None:
    """Wall clocks of workers jump ahead and back; the producers' are minutes ahead all the time."""
    for number in range(times):
        name = f"w{number % 2}"
        await stage.fleet.dismiss(name)
        jump_s = _JUMP_S * (1 if number % 4 < 2 else 0.1)
        stage.fleet.start(name, base={"DRILL_CLOCK_S": str(jump_s)})
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"{name} joined")
        # Two jumps happen meanwhile (launcher.py): that is the injection.
        await asyncio.sleep(16)
        await flows(stage.pauses)
        stage.injected(f"clock of {name} jumped by {jump_s:.0f} s, to and fro")


async def _upgrade(stage: Stage, times: int, ref: str) -> None:
    """Workers of an older version are replaced one after another, beside each other under load."""
    home = stage.place.folder / "old"
    await asyncio.to_thread(_check_out, ref, home)
    old = {"PYTHONPATH": str(home), "PYTHONSAFEPATH": "1"}
    names = [f"w{number}" for number in range(times)]
    for name in names:
        stage.fleet.start(name, base=old)
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"old {name} joined")
    await flows(stage.pauses)
    stage.pauses.reset()
    for name in names:
        if code := await stage.fleet.dismiss(name):
            raise AssertionError(f"old {name} ended with {code} after SIGTERM")
        stage.fleet.start(name, base={})
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"new {name} joined")
        await flows(stage.pauses)
        stage.injected(f"{name} is new now")
    stage.notes["from"] = ref


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=_HOME, check=True, capture_output=True).stdout  # noqa: S607


def released() -> list[str]:
    """Return the tags of all released versions, the oldest first; 20 commits ago, if none."""
    tags = _git("tag", "--list", "v*", "--merged", "--sort=version:refname").decode().split()
    head = _git("rev-parse", "HEAD")
    older = [tag for tag in tags if _git("rev-list", "-n", "1", tag) != head]
    return older or [_git("rev-parse", "--short", "HEAD~20").decode().strip()]


def upgrade_from(ref: str) -> Drill:
    """Return the drill that goes from that version (of git) to this one."""
    # An older worker may know nothing of answers in shadow, nor of their setting.
    return Drill("upgrade", partial(_upgrade, ref=ref), workers=0, shadow_mille=0)


def _check_out(ref: str, home: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", ref))) as files:
        files.extractall(home, filter="data")


async def compare_throughput(stage: Stage, times: int) -> None:
    """Under all the load there is: how much is done in a minute with a rebalance, and without."""
    ratios = []
    for number in range(times):
        await until(lambda: stage.fleet.has_joined("w1"), PATIENCE_S, "both work")
        await flows(stage.pauses)
        calm = await _done_in(stage, 30.0)
        task = asyncio.create_task(_done_in(stage, 60.0))
        if number % 2 == 0:
            stage.fleet.start("w2")
        else:
            await stage.fleet.dismiss("w2")
        disturbed = await task
        ratios.append(round(disturbed / calm, 2))
        how = "left" if number % 2 else "joined"
        stage.injected(f"{calm:.0f} records/s undisturbed, {disturbed:.0f} as a worker {how}")
    stage.notes["ratio"] = ratios
    if min(ratios) < 0.7:
        raise AssertionError(f"throughput with a rebalance a minute is {min(ratios)} of calm")


async def _done_in(stage: Stage, seconds: float) -> float:
    """Growth of the attribution changelog, records a second."""
    before, began_s = sum(stage.pauses.ends.values()), time.monotonic()
    await asyncio.sleep(seconds)
    return (sum(stage.pauses.ends.values()) - before) / (time.monotonic() - began_s)


DRILLS: Final = (
    Drill("clock", jump_clocks, age_ms=-200_000),
    Drill("throughput", compare_throughput, rate=30_000.0),
)
