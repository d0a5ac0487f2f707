"""Guardrails on metrics: requests until a bad arm is off, and false alarms of good ones.

``python -m bench.guard.metrics``: whole routes through the product's own ``judge_measured``, no
label ever; requests are drawn by given shares, and told in records of so many as a micro-batch has.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from leverframe.schemas.measurements import Measured, Measurements
from leverframe.streams.learning.change import RegisterArm
from leverframe.streams.learning.metric_guard import judge_measured
from leverframe.streams.learning.rollout import carry_out
from leverframe.streams.learning.state import RouteState, new_route
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.route import Route, compile_routes
from leverframe.streams.routes.settings import RouteSettings

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], dict[str, Floats]]
"""So many requests of an arm: values by metric."""

RECORD: Final = 20
"""Requests of a record: a micro-batch of a quiet route."""
T0: Final = 1_700_000_000_000
ERROR: Final = MetricSettings(role="guardrail", range=(0, 1))
MEAN: Final = MetricSettings(role="guardrail", range=(0, 2000), margin=20)
P99: Final = MetricSettings(role="guardrail", range=(0, 2000), margin=20, quantile=0.99)
ALL: Final = {"error": ERROR, "latency_ms": MEAN, "p99_ms": P99}


def answers(error: float = 0.005, slow: float = 0.0, slow_share: float = 1.0) -> Draw:
    """Return an arm's answers: a log-normal latency of 100 ms (p99 320 ms), and rare errors.

    ``slow`` milliseconds are added to a share of them.
    """

    def draw(rng: np.random.Generator, count: int) -> dict[str, Floats]:
        latency = 100 * np.exp(0.5 * rng.standard_normal(count))
        latency += slow * (rng.random(count) < slow_share)
        failed = (rng.random(count) < error).astype(float)
        return {"error": failed, "latency_ms": latency, "p99_ms": latency}

    return draw


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: two arms, the second one's share, and what the route looks at."""

    name: str
    metrics: dict[str, MetricSettings]
    suspect: dict[str, float]
    share: float = 0.05
    before: int = 2000
    requests: int = 60_000


TAIL: Final = {"slow": 417.0, "slow_share": 0.02}
"""One request in fifty is slower, by so much that the p99 is 200 ms higher; the others are not."""
CASES: Final = (
    Case("errs 5 % (0.5 %), errors alone", {"error": ERROR}, {"error": 0.05}),
    Case("errs 5 % (0.5 %), three guardrails", ALL, {"error": 0.05}),
    Case("200 ms slower everywhere, p99 alone", {"p99_ms": P99}, {"slow": 200.0}),
    Case("200 ms slower at p99, 98 % as fast, p99 alone", {"p99_ms": P99}, TAIL),
    Case("200 ms slower at p99, 98 % as fast, three guardrails", ALL, TAIL),
)
EQUAL: Final = Case("equal arms, three guardrails", ALL, {}, share=0.2, requests=20_000)


def route_of(metrics: dict[str, MetricSettings]) -> Route:
    """Return a compiled route with these metrics."""
    route = compile_routes({"r": RouteSettings(metrics=metrics)}).get("r")
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
    route = route_of(case.metrics)
    state = new_state(route)
    good, suspect = answers(), answers(**case.suspect)
    counts = {"a": 0, "b": 0}
    for served in range(0, case.before + case.requests, RECORD):
        share = case.share if served >= case.before else 0.0
        is_b = rng.random(RECORD) < share
        a, b = good(rng, RECORD), suspect(rng, RECORD)
        measured = [
            Measured(
                arm="b" if own else "a",
                at_ms=T0 + served + at,
                values={name: float((b if own else a)[name][at]) for name in case.metrics},
            )
            for at, own in enumerate(is_b.tolist())
        ]
        counts["b"] += int(is_b.sum())
        counts["a"] += RECORD - int(is_b.sum())
        change, _ = judge_measured(state, route, Measurements(route="r", measured=measured))
        if change is not None:
            arm = str(change.moves[0].arm)  # type: ignore[union-attr]
            return arm, counts[arm]
    return None


def _run(given: tuple[Case, int]) -> tuple[str, int] | None:
    return run(*given)


def interval(hits: int, of: int) -> tuple[float, float]:
    """Return Clopper and Pearson's 95 % interval of a share."""
    low = float(betaincinv(hits, of - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 0.975)) if hits < of else 1.0
    return low, high


def rows(routes: int, pool: Any) -> Iterator[str]:
    """Yield the tables, line by line."""
    yield "| arm | off | its requests until then, median | 90 % of routes |"
    yield "|---|---:|---:|---:|"
    for case in CASES:
        found = pool.map(_run, [(case, seed) for seed in range(routes)])
        waits = sorted(one[1] for one in found if one is not None and one[0] == "b")
        median = f"{statistics.median(waits):,.0f}" if waits else "-"
        most = f"{waits[min(len(waits) - 1, len(waits) * 9 // 10)]:,}" if waits else "-"
        yield f"| {case.name} | {len(waits)} of {routes} | {median} | {most} |"
    found = pool.map(_run, [(EQUAL, seed) for seed in range(routes)])
    false = sum(one is not None for one in found)
    low, high = interval(false, routes)
    yield f"| {EQUAL.name}: false | {false} of {routes} ({low:.2%} to {high:.2%}) | | |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    began_s = time.perf_counter()
    with Pool(chosen.processes) as pool:
        for line in rows(chosen.routes, pool):
            print(line, flush=True)
    print(f"{time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
