"""How long the labels of quiet routes wait beside a noisy one: ``python -m bench.neighbour``.

Ten quiet routes alone, then the same load of theirs beside one route that has nine tenths of all,
then that with a quota of a tenth of what it sends. Rewards and control messages of the quiet routes
are timed as in ``bench.latency``; the ratios of p99 are what a neighbour costs. Each round starts
three workers anew, in turn; the first round also warms the broker.
"""

import argparse
import asyncio
import logging
from collections.abc import Iterator

import numpy as np

from bench.latency import Pair, measure, report
from bench.rig.servers import bench_broker
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

_QUIET_ROUTES = 10
_IN_TEN = 10
_QUOTA = "LEVERFRAME_ROUTES__NOISY__MAX_REQUESTS_PER_S"
_OTHERS = "LEVERFRAME_ROUTES__*__WINDOW_S"


def alone(count: int) -> Iterator[Pair]:
    """Yield the pairs of the quiet routes, in turn."""
    luck = np.random.default_rng(5).random(count).tolist()
    for at in range(count):
        yield _pair(f"quiet-{at % _QUIET_ROUTES}", at, at // _QUIET_ROUTES, luck[at])


def beside(count: int) -> Iterator[Pair]:
    """Yield the same, and before each of them nine of one more route."""
    luck = np.random.default_rng(6).random(count).tolist()
    quiet = alone(count)
    for at in range(count):
        is_noisy = at % _IN_TEN != _IN_TEN - 1
        yield _pair("noisy", at + count, at, luck[at]) if is_noisy else next(quiet)


def _pair(route: str, number: int, turn: int, luck: float) -> Pair:
    prediction = Prediction(
        request_id=f"q{number}", route=route, arm=f"arm-{turn % 2}", prediction=1, propensity=0.5
    )
    return prediction, GroundTruth(request_id=f"q{number}", label=int(luck < 0.9))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0, help="events/s with the neighbour")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    rate, quota = options.rate, options.rate / 2 * 0.9 / _IN_TEN
    scenes = [
        ("alone", rate / _IN_TEN, alone, {}),
        ("beside a noisy one", rate, beside, {}),
        ("beside one with a quota", rate, beside, {_QUOTA: f"{quota:g}", _OTHERS: "3600"}),
    ]
    with bench_broker() as servers:
        for number in range(options.rounds):
            p99: dict[str, float] = {}
            for who, per_second, pairs, more in scenes:
                found = asyncio.run(
                    measure(servers, per_second, options.seconds, pairs, "quiet", **more)
                )
                found.pop("rollback")
                report(f"round {number + 1}, quiet routes {who}", per_second, found)
                p99[who] = float(np.percentile(found["control message"], 99))
            base = p99.pop("alone")
            for who, value in p99.items():
                print(f"round {number + 1}: {who}, p99 to control is {value / base:.2f} of alone")


if __name__ == "__main__":
    main()
