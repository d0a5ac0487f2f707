"""How many requests until a broken arm is rolled back where every label judges every arm.

``python -m bench.paired``: routes of two arms, one served and the other in shadow, errors that go
together; each request goes through the product's own ``learn``. After ``--good`` requests the
second arm breaks, at three shares of traffic; then false alarms where nothing breaks.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leverframe.experiments.replay import Record
from leverframe.schemas.codec import encode, encode_reward
from leverframe.schemas.command import Command
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import GuardSettings, RouteSettings

STEP_MS: Final = 10
BREAKS: Final = ((0.95, 0.5), (0.9, 0.8), (0.95, 0.9))
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


def wait(seed: int, share: float, good: int, right: float, broken: float) -> int | None:
    """Requests from the break until ``b`` is rolled back; None where that does not come."""
    route = Route(seed, share, probation=True)
    for gone in route.requests(good, (right, right)):
        if gone:
            return None
    begin = route.at
    for gone in route.requests(LONGEST, (right, broken)):
        if gone:
            return route.at - begin if gone == "b" else None
    return None


def false_alarm(seed: int, share: float, count: int, right: float) -> bool:
    """Whether any arm of a route is rolled back though both are alike."""
    route = Route(seed, share, probation=True)
    return any(route.requests(count, (right, right)))


def main() -> None:
    """Print a line for each break and share, then the false alarms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--good", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    for right, broken in BREAKS:
        for share in SHARES:
            waits = [
                wait(1000 * n + round(100 * share), share, options.good, right, broken)
                for n in range(options.routes)
            ]
            found = [one for one in waits if one is not None]
            row = {
                "break": f"{right} -> {broken}",
                "share": share,
                "routes": options.routes,
                "median": statistics.median(found) if found else None,
                "p90": float(np.quantile(found, 0.9)) if found else None,
                "missed": len(waits) - len(found),
            }
            table.append(row)
            print(json.dumps(row), flush=True)
    for right in (0.9, 0.95):
        alarms = sum(
            false_alarm(7_000_000 + n, 0.5, options.good, right) for n in range(options.routes)
        )
        row = {"alike": right, "routes": options.routes, "requests": options.good, "alarms": alarms}
        table.append(row)
        print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
