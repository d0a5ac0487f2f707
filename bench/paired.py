"""How many requests until a broken arm is rolled back where every label judges every arm.

``python -m bench.paired``: routes of two arms, one served and the other in shadow, errors that go
together; each request goes through the product's own ``learn``. After ``--good`` requests the
second arm breaks, at three shares of traffic. A rollback before that is a false alarm.
"""

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from leverframe.experiments.replay import Record
from leverframe.schemas.codec import encode, encode_reward
from leverframe.schemas.command import Command
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import GuardSettings, RouteSettings

STEP_MS: Final = 10
BREAKS: Final = {0.95: (0.5, 0.9), 0.9: (0.8,)}
"""By the rate at which both arms are right, those to which the second one falls."""
SHARES: Final = (0.9, 0.5, 0.1)
TOGETHER: Final = 0.5
LONGEST: Final = 20_000
_BYTES: Final = 10_000


class Route:
    """A route whose requests are told one by one."""

    def __init__(self, seed: int, share: float, *, probation: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.share = share
        guard = GuardSettings() if probation else GuardSettings(probation_share=0.0)
        settings = RouteSettings(
            label_depends_on_answer=False, shadow_share=1.0, promote=False, guard=guard
        )
        self.routes = Routes({"r": settings}, None)
        self.states: dict[str, RouteState] = {}
        self.at = 0
        for arm in ("a", "b"):
            command = Command(
                command_id=arm, route="r", action="register_arm", arm=arm, actor="bench",
                issued_at_ms=0,
            )  # fmt: skip
            record = Record("commands", 0, 1_000_000, encode(command), b"r")
            outcome = learn(
                [("commands", [record])], self.states, self.routes, max_value_bytes=_BYTES
            )
            self.states.update(outcome.states)

    def requests(self, count: int, right: tuple[float, float]) -> Iterator[str]:
        """Tell requests; yield which arm was rolled back after each block, or nothing."""
        while count > 0:
            size = min(count, 20)
            count -= size
            drawn = self.rng.random((size, 4))
            own = drawn[:, 1]
            other = np.where(drawn[:, 2] < TOGETHER, own, drawn[:, 3])
            answers = (own < right[0], other < right[1])
            served = (drawn[:, 0] < self.share).astype(int)
            yield self._tell(served, answers)

    def _tell(self, served: NDArray[Any], answers: tuple[Any, Any]) -> str:
        records = []
        for i, second in enumerate(served.tolist()):
            self.at += 1
            pair = {"a": float(answers[0][i]), "b": float(answers[1][i])}
            arm, beside = ("b", "a") if second else ("a", "b")
            now_ms = 1_000_000 + self.at * STEP_MS
            common: dict[str, Any] = {
                "request_id": f"q{self.at}",
                "route": "r",
                "predicted_at_ms": now_ms,
                "labelled_at_ms": now_ms,
                "attributed_at_ms": now_ms,
            }
            told = (
                Reward(arm=beside, reward=pair[beside], served=False, beside=arm, **common),
                Reward(arm=arm, reward=pair[arm], others={beside: pair[beside]}, **common),
            )
            records += [
                Record("rewards", 2 * self.at + n, now_ms, encode_reward(one), b"r")
                for n, one in enumerate(told)
            ]
        outcome = learn([("rewards", records)], self.states, self.routes, max_value_bytes=_BYTES)
        self.states.update(outcome.states)
        gone = [message.cause["arm"] for message in outcome.control if message.kind == "rollback"]
        return gone[0] if gone else ""


def grown(seed: int, share: float, good: int, right: float) -> Route | None:
    """Return a route after its good requests; None where an arm was rolled back, a false alarm."""
    route = Route(seed, share, probation=True)
    return None if any(route.requests(good, (right, right))) else route


def wait(route: Route, right: float, broken: float) -> int | None:
    """Requests from the break until ``b`` is rolled back; None where that does not come."""
    begin = route.at
    for gone in route.requests(LONGEST, (right, broken)):
        if gone:
            return route.at - begin if gone == "b" else None
    return None


class Job(NamedTuple):
    """One route, and how it is looked at."""

    seed: int
    share: float
    good: int
    right: float


def waits(job: Job) -> list[int | None] | None:
    """The wait after each break of one route; None for a false alarm before any."""
    route = grown(*job)
    if route is None:
        return None
    return [wait(copy.deepcopy(route), job.right, broken) for broken in BREAKS[job.right]]


def rows(
    right: float, share: float, found: list[list[int | None] | None]
) -> Iterator[dict[str, Any]]:
    """What is known of all routes at a share: false alarms, then each break."""
    alarms = sum(one is None for one in found)
    low, high = binomtest(alarms, len(found)).proportion_ci(0.95)
    interval = [round(float(low), 4), round(float(high), 4)]
    yield {"alike": right, "share": share, "routes": len(found), "alarms": alarms,
           "interval": interval}  # fmt: skip
    for at, broken in enumerate(BREAKS[right]):
        each = [one[at] for one in found if one is not None]
        told = [one for one in each if one is not None]
        yield {
            "break": f"{right} -> {broken}",
            "share": share,
            "routes": len(each),
            "median": statistics.median(told) if told else None,
            "p90": float(np.quantile(told, 0.9)) if told else None,
            "missed": len(each) - len(told),
        }


def main() -> None:
    """Print a line for each rate and share: false alarms, then each break."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--good", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for right in BREAKS:
            for share in SHARES:
                seeds = (1000 * n + round(100 * share) for n in range(options.routes))
                jobs = [Job(seed, share, options.good, right) for seed in seeds]
                for row in rows(right, share, pool.map(waits, jobs, chunksize=1)):
                    table.append(row)
                    print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
