"""Guardrails on metrics: requests until a bad arm is off, and false alarms of good ones.

``python -m bench.guard.metrics``: whole routes through the product's own ``judge_measured``, no
label ever; requests are drawn by given shares, and told in records of so many as a micro-batch has.
``--write`` puts the tables into docs/delivery.md.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from leverframe.schemas.measurements import Measured, Measurements
from leverframe.streams.learning.change import RegisterArm, RollBack
from leverframe.streams.learning.metric_guard import judge_measured
from leverframe.streams.learning.rollout import carry_out
from leverframe.streams.learning.state import RouteState, new_route
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.route import Route, compile_routes
from leverframe.streams.routes.settings import GuardSettings, RouteSettings

Floats = NDArray[np.float64]

PAGE: Final = Path("docs/delivery.md")
RECORD: Final = 20
"""Requests of a record: a micro-batch of a quiet route."""
T0: Final = 1_700_000_000_000
ERROR: Final = MetricSettings(role="guardrail", range=(0, 1))
MEAN: Final = MetricSettings(role="guardrail", range=(0, 2000), margin=20)
P99: Final = MetricSettings(role="guardrail", range=(0, 2000), margin=20, quantile=0.99)
ALL: Final = {"error": ERROR, "latency_ms": MEAN, "p99_ms": P99}
World = Literal["steady", "outages", "rising", "outages, share grows"]


@dataclass(frozen=True, slots=True)
class Answers:
    """How an arm answers: a log-normal latency of 100 ms (p99 320 ms), and rare errors.

    Attributes
    ----------
    error : float
        Share of failed requests.
    slow, slow_share : float
        Milliseconds that are added to a share of them.
    """

    error: float = 0.005
    slow: float = 0.0
    slow_share: float = 1.0

    def draw(self, rng: np.random.Generator, badness: Floats) -> dict[str, Floats]:
        """Return values by metric, of requests in a world that is so bad at their time, 0 to 1."""
        count = len(badness)
        latency = 100 * np.exp(0.5 * rng.standard_normal(count)) * (1 + 4 * badness)
        latency += self.slow * (rng.random(count) < self.slow_share)
        rate = self.error + (0.5 - self.error) * badness
        failed = (rng.random(count) < rate).astype(float)
        return {"error": failed, "latency_ms": latency, "p99_ms": latency}


GOOD: Final = Answers()


@dataclass(frozen=True, slots=True)
class Case:
    """A row of a table: the second of two arms, its share, and what the route looks at."""

    name: str
    metrics: dict[str, MetricSettings]
    suspect: Answers = GOOD
    share: float = 0.05
    world: World = "steady"
    before: int = 2000
    requests: int = 60_000
    alpha: float = 0.01
    champion: Answers = GOOD

    def share_at(self, served: int) -> float:
        """The second arm's share after so many requests."""
        if served < self.before:
            return 0.0
        grown = (served - self.before) / self.requests if "grows" in self.world else 0.0
        return self.share + (0.5 - self.share) * grown

    def badness_at(self, served: int) -> Floats:
        """How bad the world is for both arms at the next requests, 0 to 1."""
        at = served + np.arange(RECORD)
        if self.world == "rising":
            return 0.3 * at / (self.before + self.requests)
        if self.world == "steady":
            return np.zeros(RECORD)
        # One request in twenty falls into an outage of 50 requests.
        return ((at % 1000) < 50).astype(float)


TAIL: Final = Answers(slow=417.0, slow_share=0.02)
"""One request in fifty is slower, by so much that the p99 is 200 ms higher; the others are not."""
SLOW: Final = Answers(slow=200.0)
ERRS: Final = Answers(error=0.05)
CASES: Final = (
    Case("errs on 5 %, one guardrail", {"error": ERROR}, ERRS),
    Case("errs on 5 %, three guardrails", ALL, ERRS),
    Case("200 ms slower, all of it, p99 alone", {"p99_ms": P99}, SLOW),
    Case("200 ms slower at p99, 98 % as fast, p99 alone", {"p99_ms": P99}, TAIL),
    Case("200 ms slower at p99, 98 % as fast, three guardrails", ALL, TAIL),
)
EQUAL: Final = (
    Case("steady, 20 %", ALL, share=0.2, requests=8000),
    Case("outages of both, 20 %", ALL, share=0.2, world="outages", requests=8000),
    Case("errors and latency of both rise, 20 %", ALL, share=0.2, world="rising", requests=8000),
    Case("outages of both, 5 to 50 %", ALL, world="outages, share grows", requests=8000),
)


def route_of(metrics: dict[str, MetricSettings], alpha: float) -> Route:
    """Return a compiled route with these metrics."""
    # No nursery: a beginner takes nothing over, so the champion could not be rolled back.
    settings = RouteSettings(metrics=metrics, nursery_labels=0, guard=GuardSettings(alpha=alpha))
    route = compile_routes({"r": settings}).get("r")
    if route is None:
        raise LookupError("r")
    return route


def new_state(route: Route) -> RouteState:
    """Return a route with a champion ``a`` and a second arm ``b``."""
    state = new_route("r")
    carry_out(state, route, [RegisterArm("a"), RegisterArm("b")], T0)
    return state


def run(case: Case, seed: int) -> tuple[str, int] | None:
    """Return who was rolled back after how many of its requests; None where nobody was."""
    rng = np.random.default_rng([7, seed])
    route = route_of(case.metrics, case.alpha)
    state = new_state(route)
    counts = {"a": 0, "b": 0}
    for served in range(0, case.before + case.requests, RECORD):
        badness = case.badness_at(served)
        is_b = rng.random(RECORD) < case.share_at(served)
        drawn = {"a": case.champion.draw(rng, badness), "b": case.suspect.draw(rng, badness)}
        measured = []
        for at, own in enumerate(is_b.tolist()):
            arm = "b" if own else "a"
            counts[arm] += 1
            values = {name: float(drawn[arm][name][at]) for name in case.metrics}
            measured.append(Measured(arm=arm, at_ms=T0 + served + at, values=values))
        change, _ = judge_measured(state, route, Measurements(route="r", measured=measured))
        if change is not None:
            (move,) = change.moves
            arm = move.arm if isinstance(move, RollBack) else ""
            return arm, counts[arm]
    return None


def _run(given: tuple[Case, int]) -> tuple[str, int] | None:
    return run(*given)


def interval(hits: int, of: int) -> tuple[float, float]:
    """Return Clopper and Pearson's 95 % interval of a share."""
    low = float(betaincinv(hits, of - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 0.975)) if hits < of else 1.0
    return low, high


def wait_rows(routes: int, pool: Any) -> Iterator[str]:
    """Yield how many requests of a bad arm are served until it is off."""
    yield "| the arm | off | its requests until then, median | 90 % of routes |"
    yield "|---|---:|---:|---:|"
    for case in CASES:
        found = pool.map(_run, [(case, seed) for seed in range(routes)], 1)
        waits = sorted(one[1] for one in found if one is not None and one[0] == "b")
        waits += [sys.maxsize] * (routes - len(waits))
        median, most = statistics.median_high(waits), waits[routes * 9 // 10]
        told = " | ".join(f"{one:,}" if one < sys.maxsize else "more" for one in (median, most))
        yield f"| {case.name} | {sum(one < sys.maxsize for one in waits)} of {routes} | {told} |"


def alarm_rows(routes: int, pool: Any) -> Iterator[str]:
    """Yield how many routes of equal arms had a rollback in their life."""
    yield "| world, share of the second arm | rolled back, 95 % interval |"
    yield "|---|---:|"
    total = 0
    for case in EQUAL:
        found = pool.map(_run, [(case, seed) for seed in range(routes)], 1)
        false = sum(one is not None for one in found)
        total += false
        yield f"| {case.name} | {_share(false, routes)} |"
    yield f"| all | {_share(total, routes * len(EQUAL))} |"


def _share(hits: int, of: int) -> str:
    low, high = interval(hits, of)
    return f"{hits} of {of:,} ({low:.2%} to {high:.2%})"


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detections", type=int, default=200, help="routes with a bad arm")
    parser.add_argument("--routes", type=int, default=300, help="with equal arms, of each world")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    options = parser.parse_args()
    began_s = time.perf_counter()
    parts = []
    with Pool(options.processes) as pool:
        for lines in (wait_rows(options.detections, pool), alarm_rows(options.routes, pool)):
            part = list(lines)
            print("\n".join(part), flush=True)
            parts.append("\n".join(part))
    print(f"{time.perf_counter() - began_s:.0f} s", file=sys.stderr)
    if options.write:
        begin, end = (f"<!-- metrics:{word} -->" for word in ("begin", "end"))
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(begin)[0], page.partition(end)[2]
        text = "\n\n".join(parts)
        PAGE.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
