"""Drills on workers: killed anywhere, disks lost or damaged, frozen, joining, leaving."""

import asyncio
import resource
import signal
import time
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

from patience import PATIENCE_S

from drills.damage import DAMAGES, damage
from drills.drill import Drill, Stage
from drills.fleet import flows, kill, until
from drills.launcher_points import NAMED, Point

__all__ = ["DRILLS", "harm_disks", "kill_at_points"]

_RESUMED_S: Final = 4.0
_ROLLED_S: Final = 5.0
_SETTLED_S: Final = 8.0
HARMS: Final = (*DAMAGES, "disk full")


async def _hurt_and_back(stage: Stage, name: str, what: str) -> None:
    """Count what was just done to a worker, and wait until it works again."""
    stage.injected(what)
    await until(lambda: stage.fleet.has_joined(name), PATIENCE_S, f"{name} is back after {what}")


async def kill_at_random(stage: Stage, times: int) -> None:
    """``kill -9`` at a random moment, from the start of the process to full flow."""
    names = sorted(stage.fleet.running)
    for number in range(times):
        name = stage.rng.choice(names)
        # The moment is the point of the drill, so this is no wait for anything.
        await asyncio.sleep(stage.rng.uniform(0.1, 5.0))
        stage.fleet.running[name].kill()
        stage.injected(f"{name} killed")
        if number % 10 == 9:
            await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"{name} is back")


async def kill_at_points(stage: Stage, times: int, points: Sequence[Point] = NAMED) -> None:
    """Let the process be killed at a named point of its own code."""
    for point in islice(cycle(points), times):
        name = stage.rng.choice(sorted(stage.fleet.running))
        others = [other for other in stage.fleet.running if other != name]
        before = stage.fleet.reached()
        nth = 1 if point.is_of_a_start else stage.rng.randrange(2, 12)
        fault = f"{point.agent}{point.name}@{nth}"
        kill(stage.fleet.running.pop(name))
        if point.needs_empty_disk:
            damage("folder lost", stage.deployment.datadir(name), stage.rng)
        stage.fleet.start(name, DRILL_FAULT=fault, DRILL_BULK="400")
        if point.is_of_a_rebalance:
            await _rebalance(stage, name, others[0], before)
        await until(
            lambda b=before: stage.fleet.reached() > b, PATIENCE_S, f"{name} reached {fault}"
        )
        await _hurt_and_back(stage, name, f"{name} killed at {fault}")


async def _rebalance(stage: Stage, name: str, other: str, before: int) -> None:
    """Let the armed worker join, then let another leave and come back."""
    fleet = stage.fleet
    await until(
        lambda: fleet.has_joined(name) or fleet.reached() > before, PATIENCE_S, f"{name} joined"
    )
    if fleet.reached() == before:
        fleet.signal(other, signal.SIGTERM)


async def harm_disks(stage: Stage, times: int, kinds: Sequence[str] = HARMS) -> None:
    """Kill a worker and harm its folder before it comes back; or let its disk be full."""
    for kind in islice(cycle(kinds), times):
        name = stage.rng.choice(sorted(stage.fleet.running))
        await asyncio.sleep(stage.rng.uniform(0.5, 2.0))
        if kind == "disk full":
            await _fill_disk(stage, name)
        else:
            worker = stage.fleet.running.pop(name)
            kill(worker)
            damage(kind, stage.deployment.datadir(name), stage.rng)
            stage.fleet.start(name)
        await _hurt_and_back(stage, name, f"{name}: {kind}")


async def _fill_disk(stage: Stage, name: str) -> None:
    """Let no file of a running worker grow: each write fails, as on a full disk."""
    worker = stage.fleet.running[name]
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    await until(lambda: worker.poll() is not None, PATIENCE_S, f"{name} ends when its disk is full")


async def freeze(stage: Stage, times: int) -> None:
    """SIGSTOP past the session time, heirs take over, SIGCONT: a zombie each time."""
    fleet = stage.fleet
    for number in range(times):
        zombie, heir = ("w0", "w1") if number % 2 else ("w1", "w0")
        await until(lambda: all(map(fleet.has_joined, ("w0", "w1"))), PATIENCE_S, "both work")
        await flows(stage.pauses)
        if number % 2:
            await _freeze_in_transaction(stage, zombie, number // 2)
        else:
            fleet.signal(zombie, signal.SIGSTOP)
        await asyncio.sleep(stage.place.session_s)
        await flows(stage.pauses)
        exits = len(fleet.exits)
        fleet.signal(zombie, signal.SIGCONT)
        stage.injected(f"{zombie} frozen, {heir} took over, {zombie} resumed")
        await flows(stage.pauses)
        await until(lambda z=zombie: fleet.has_joined(z), PATIENCE_S, "the zombie left or rejoined")
        stage.notes["ended"] = stage.notes.get("ended", 0) + len(fleet.exits) - exits
    logs = (stage.deployment.log(name) for name in fleet.running)
    stage.notes["fenced"] = sum(log.count("this one was fenced") for log in logs)


async def _freeze_in_transaction(stage: Stage, zombie: str, number: int) -> None:
    """Start it anew, to freeze with a transaction open (and then be fenced by its heir)."""
    fleet = stage.fleet
    before = fleet.reached()
    kill(fleet.running.pop(zombie))
    point = ("inside", "after", "begun", "half-sent")[number % 4]
    fault = f"attribution/{point}@{stage.rng.randrange(20, 60)}"
    fleet.start(zombie, DRILL_FAULT=fault, DRILL_ACTION="stop")
    await until(lambda: fleet.reached() > before, PATIENCE_S, f"frozen {point} a transaction")


async def join_and_leave(stage: Stage, times: int) -> None:
    """A worker joins, another leaves by SIGTERM, under load."""
    fleet = stage.fleet
    count = len(fleet.running)
    for number in range(times):
        if number % 2 == 0:
            name = f"w{count + number // 2}"
            fleet.start(name)
            await until(lambda n=name: fleet.has_joined(n), PATIENCE_S, f"{name} joined")
            stage.injected(f"{name} joined")
        else:
            name = min(fleet.running, key=lambda n: int(n[1:]))
            code = await fleet.dismiss(name)
            if code:
                raise AssertionError(f"{name} ended with {code} after SIGTERM")
            stage.injected(f"{name} left")


async def measure_takeover(stage: Stage, times: int) -> None:
    """One of two is killed and stays away: how long until its partitions go on."""
    stage.limit_s = stage.place.session_s + 2
    longest_s = 0.0
    for number in range(times):
        name = f"w{number % 2}"
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"{name} works")
        await flows(stage.pauses)
        stage.pauses.reset()
        kill(stage.fleet.running.pop(name))
        await asyncio.sleep(stage.place.session_s)
        await flows(stage.pauses)
        longest_s = max(longest_s, stage.pauses.longest_s)
        stage.injected(f"{name} killed, longest pause {stage.pauses.longest_s:.2f} s")
        stage.fleet.start(name)
    stage.notes["pause_s"] = longest_s
    stage.pauses.reset()


async def stop_gently(stage: Stage, times: int) -> None:
    """One of two is told to end: its partitions go on within 2 s; it resumes within 4 s."""
    stage.limit_s = 2.0
    pauses: list[float] = []
    resumed: list[float] = []
    for number in range(times):
        name = f"w{number % 2}"
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"{name} works")
        await flows(stage.pauses)
        stage.pauses.reset()
        if code := await stage.fleet.dismiss(name):
            raise AssertionError(f"{name} ended with {code} after SIGTERM")
        await flows(stage.pauses)
        pauses.append(round(stage.pauses.longest_s, 2))
        began_s = time.monotonic()
        stage.fleet.start(name)
        await until(lambda n=name: stage.fleet.has_joined(n), PATIENCE_S, f"{name} resumed")
        resumed.append(round(time.monotonic() - began_s, 2))
        stage.injected(f"{name}: pause {pauses[-1]:.2f} s, resumed in {resumed[-1]:.2f} s")
    stage.notes |= {"pause_s": max(pauses), "pauses_s": pauses, "resumed_s": resumed}
    stage.pauses.reset()
    if max(resumed) > _RESUMED_S:
        raise AssertionError(f"a worker resumed {max(resumed)} s after its start")


async def _settled(stage: Stage, names: Sequence[str]) -> None:
    """Wait until partitions have found their workers: none was opened for some seconds."""
    deadline_s, opened = time.monotonic() + PATIENCE_S, -1
    while (now := sum(map(stage.fleet.opened, names))) != opened:
        if time.monotonic() > deadline_s:
            raise AssertionError(f"partitions still move after {PATIENCE_S:g} s")
        opened = now
        await asyncio.sleep(_SETTLED_S)
        await flows(stage.pauses)


async def restart_in_turn(stage: Stage, times: int) -> None:
    """Three named workers are restarted one after another, as a platform rolls out a version.

    Each ends by SIGTERM and is started again at once; the next one's turn comes when it is ready.
    A name outlives its process, so no partition moves: only its own wait, 5 s at most.
    """
    stage.limit_s = _ROLLED_S
    names = ("w0", "w1", "w2")
    for name in names:
        base = {"LEVERFRAME_APP__INSTANCE": name, "LEVERFRAME_APP__SESSION_TIMEOUT_S": "15"}
        stage.fleet.start(name, base=base)
    fleet, pauses = stage.fleet, list[float]()
    await until(lambda: all(map(fleet.has_joined, names)), PATIENCE_S, "all three work")
    await _settled(stage, names)
    for number in range(times):
        name = names[number % len(names)]
        before = {each: fleet.opened(each) for each in names}
        stage.pauses.reset()
        if code := await fleet.dismiss(name):
            raise AssertionError(f"{name} ended with {code} after SIGTERM")
        fleet.start(name)
        every = f"{name} opened all {before[name]} of its partitions again"
        await until(lambda n=name, m=before[name]: fleet.opened(n) >= m, PATIENCE_S, every)
        await flows(stage.pauses)
        pauses.append(round(stage.pauses.longest_s, 2))
        stage.injected(f"{name} restarted, longest pause {pauses[-1]:.2f} s")
        if moved := [each for each in names if fleet.opened(each) > before[each]]:
            raise AssertionError(f"partitions of {name} moved to {', '.join(moved)}")
    stage.notes |= {"pause_s": max(pauses), "pauses_s": pauses}
    stage.pauses.reset()


DRILLS: Final = (
    Drill("kill-random", kill_at_random),
    Drill("kill-points", kill_at_points),
    Drill("disk-harm", harm_disks),
    Drill("zombie", freeze),
    Drill("rebalance", join_and_leave),
    Drill("takeover", measure_takeover),
    Drill("sigterm", stop_gently),
    Drill("rolling", restart_in_turn, workers=0),
)
