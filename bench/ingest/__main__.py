"""What reading topics of others costs beside our own: ``python -m bench.ingest``.

Steps: microseconds an event of mapping nested JSON and Avro, and of our own path's decode and join,
in this process. Drain: pairs that lie in topics already, through one worker in one process, from
the first reward to the last. ``--latency``: from a label on its own topic to its reward, open loop,
at a stated rate. Our own path and the others are measured in turn, in one run.
"""

import argparse
import asyncio
import logging

from bench.ingest.steps import step_costs
from bench.ingest.through import drain_rate, latencies
from bench.rig.servers import bench_broker

_NAMES = {"own": "our own topics", "json": "nested JSON", "avro": "Avro"}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", action="store_true", help="only the pure steps, no broker")
    parser.add_argument("--pairs", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    _steps()
    if options.steps:
        return
    with bench_broker() as servers:
        for _ in range(options.rounds):
            _drain(servers, options.pairs)
        for form in _NAMES if options.latency else ():
            _latency(servers, form, options.rate, options.seconds)


def _steps() -> None:
    costs = step_costs()
    for form, cost in costs.items():
        what = "decode and join of" if form == "own" else "reading"
        share = costs["own"] / cost
        print(f"steps, {what} {_NAMES[form]}: {cost:.2f} µs an event, {share:.0%} of its rate")


def _drain(servers: str, pairs: int) -> None:
    own = 0.0
    for form, name in _NAMES.items():
        rate = asyncio.run(drain_rate(servers, form, pairs))
        own = own or rate
        print(
            f"drain, {name} to rewards: {rate:,.0f} events/s, {rate / own:.0%} of our own",
            flush=True,
        )


def _latency(servers: str, form: str, rate: float, seconds: float) -> None:
    import numpy as np

    found = asyncio.run(latencies(servers, form, rate, seconds))
    if not found:
        print(f"latency, {_NAMES[form]}: no label after the warm-up was rewarded in time")
        return
    p50, p99 = np.percentile(found, [50, 99])
    print(
        f"latency, {_NAMES[form]}, {rate:,.0f} events/s, label to reward: p50 {p50:.0f} ms, "
        f"p99 {p99:.0f} ms ({len(found):,} seen)",
        flush=True,
    )


if __name__ == "__main__":
    main()
