"""One drill: a deployment under load, hurt by a function, judged from outside."""

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import Deployment
from patience import PATIENCE_S

from drills.arrivals import Arrivals
from drills.expectation import Comparison
from drills.fleet import Fleet
from drills.sending import Sending, sending
from drills.verdict import judge
from drills.watching import Pauses, following, watching

__all__ = ["SHADOWS_COUNT", "Drill", "Place", "Result", "Stage", "run_drill"]

SHADOWS_COUNT: Final = {"LEVERFRAME_ROUTES__*__LABEL_DEPENDS_ON_ANSWER": "false"}
"""So that a label judges every arm that answered, alone and in pairs."""


@dataclass(frozen=True)
class Place:
    """Where drills run.

    Attributes
    ----------
    servers : str
        For producers, and for looking on.
    folder : Path
        Of the drill's workers and logs.
    seed : int
        Of script and injections.
    rate : float
        Requests a second.
    session_s : float
        Session time of the workers.
    replication : int
        Of the topics.
    worker_servers : str
        For workers, where they go another way (a proxy).
    report : callable
        Told how far it is.
    """

    servers: str
    folder: Path
    seed: int
    rate: float
    session_s: float
    replication: int = 1
    worker_servers: str = ""
    report: Callable[[str], None] = print


@dataclass
class Stage:
    """What an injecting function works with."""

    place: Place
    deployment: Deployment
    fleet: Fleet
    sending: Sending
    pauses: Pauses
    rng: random.Random
    injections: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    limit_s: float | None = None

    def injected(self, what: str) -> None:
        """Count one injection and say so."""
        self.injections += 1
        self.place.report(f"  {self.injections:4d} {what} ({self.sending.requests} requests)")


@dataclass(frozen=True)
class Drill:
    """A drill by name.

    Attributes
    ----------
    name : str
        In the table.
    inject : callable
        Hurts a stage so many times.
    workers : int
        Started before.
    settings : mapping
        More of the workers' environment.
    age_ms : int
        Of all records: the producers' clock.
    rate : float
        Requests a second; the place's when 0.
    shadow_mille : int
        Of a thousand requests so many are answered in shadow too.
    """

    name: str
    inject: Callable[[Stage, int], Awaitable[None]]
    workers: int = 2
    settings: Mapping[str, str] = field(default_factory=dict)
    age_ms: int = 0
    rate: float = 0.0
    shadow_mille: int = Arrivals.shadow_mille


@dataclass
class Result:
    """A row of the table."""

    drill: str
    injections: int
    requests: int
    rewards: Comparison
    longest_pause_s: float
    seconds: float
    faults: list[str]
    notes: dict[str, Any]

    @property
    def is_good(self) -> bool:
        """Whether everything was as promised."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "verdict": "held" if self.is_good else "BROKEN"}


async def run_drill(drill: Drill, place: Place, times: int, at_least: int = 0) -> Result:
    """Run one drill to its verdict."""
    place.folder.mkdir(parents=True, exist_ok=True)
    place.report(f"{drill.name}: {times} times, seed {place.seed}")
    began_s = time.monotonic()
    deployment = await Deployment.create(
        place.servers,
        f"{drill.name}-{place.seed}-",
        place.folder,
        LEVERFRAME_APP__SESSION_TIMEOUT_S=str(place.session_s),
        LEVERFRAME_APP__MAX_VALUE_BYTES="16384",
        LEVERFRAME_TOPICS__REPLICATION=str(place.replication),
        **(SHADOWS_COUNT if drill.shadow_mille else {}),
        **drill.settings,
    )
    if place.worker_servers:
        deployment.environment["LEVERFRAME_BROKER"] = place.worker_servers
    arrivals = Arrivals(place.seed, shadow_mille=drill.shadow_mille)
    fleet = Fleet(deployment)
    faults: list[str] = []
    async with AsyncExitStack() as stack:
        subscriber = await stack.enter_async_context(following(deployment))
        await stack.enter_async_context(fleet.supervised())
        pauses = await stack.enter_async_context(watching(deployment))
        load = await stack.enter_async_context(
            sending(deployment, arrivals, drill.rate or place.rate, drill.age_ms)
        )
        stage = Stage(place, deployment, fleet, load, pauses, random.Random(place.seed))
        try:
            if drill.workers:
                await _start(stage, drill.workers)
            await drill.inject(stage, times)
        except Exception as error:  # noqa: BLE001 - the other drills go on, the verdict says it
            faults.append(f"{error!r}: {_last_lines(error)}")
        longest_s = max(stage.notes.pop("pause_s", 0.0), pauses.current_s())
        await load.finish(at_least)
        verdict = await judge(deployment, arrivals, load.requests, subscriber)
        faults += verdict.faults
    faults += _pause_fault(longest_s, stage.limit_s)
    return Result(
        drill.name,
        stage.injections,
        load.requests,
        verdict.rewards,
        longest_s,
        time.monotonic() - began_s,
        faults,
        stage.notes,
    )


async def _start(stage: Stage, workers: int) -> None:
    for number in range(workers):
        stage.fleet.start(f"w{number}")
    deadline = time.monotonic() + PATIENCE_S
    while not stage.pauses.moved_s and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    stage.pauses.reset()


def _pause_fault(longest_s: float, limit_s: float | None) -> list[str]:
    if limit_s is None or longest_s <= limit_s:
        return []
    return [f"a partition paused for {longest_s:.1f} s, at most {limit_s:.1f} s are promised"]


def _last_lines(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-3:])[-600:]
