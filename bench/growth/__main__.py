"""Throughput and latency along six axes of growth: ``python -m bench.growth``.

Along an axis one size of the deployment changes (arms, routes, partitions, waiting predictions,
bytes of a prediction, workers) and the others stay at the base. Each deployment gets topics of its
own on one development broker, drains preloaded pairs, and then answers an open loop at a modest
rate. The base is measured again at the begin of each axis in each run: ratios are to that one.
A deployment that fails is told and listed, not left out in silence.
"""

import argparse
import asyncio
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.compare.rounds import say
from bench.growth.measure import Load, grown
from bench.growth.one_route import learning_alone
from bench.growth.results import Growth, Measured, read_growth
from bench.growth.shapes import AXES, BASE, QUICK, Shape
from bench.growth.table import table
from bench.rig.servers import BenchBroker, looked_at_broker

HUGE: Final = 10_000_000
"""Waiting predictions from which a point is measured only once: it takes long to make them wait."""


def _tried(axis: str, sizes: Sequence[int], growth: Growth) -> Iterator[int]:
    """Yield the base, then the other sizes; huge ones only once."""
    base = getattr(BASE, axis)
    yield base
    done = growth.sizes(axis)
    yield from (at for at in sizes if at != base and (at < HUGE or at not in done))


def _measure(broker: BenchBroker, axis: str, at: int, run: int, load: Load) -> Measured:
    shape: Shape = msgspec.structs.replace(BASE, **{axis: at})
    result = Measured(axis=axis, at=at, run=run)
    try:
        result.point = asyncio.run(grown(broker, shape, load))
    except RuntimeError as error:
        result.error = str(error)[-600:]
        say(f"run {run + 1}, {axis} {at:,}: FAILED: {result.error}")
    else:
        point = result.point
        say(
            f"run {run + 1}, {axis} {at:,}: {point.events_per_s:,} events/s, worker "
            f"{point.worker_us} and broker {point.broker_us} us/event, latency {point.latency_ms}"
        )
    return result


def _run(broker: BenchBroker, options: argparse.Namespace, growth: Growth) -> None:
    say("warming the broker up: a Java machine just started is slow")
    _measure(broker, "arms", BASE.arms, -1, growth.load)
    first = max((m.run for m in growth.measured), default=-1) + 1
    for run in range(first, first + options.runs):
        for axis, sizes in options.sizes.items():
            for at in _tried(axis, sizes, growth):
                growth.measured.append(_measure(broker, axis, at, run, growth.load))
                _keep(growth, options.json)
        if options.learning:
            alone = asyncio.run(learning_alone(broker.servers, growth.load.pairs, options.lock))
            growth.learning_us.append(alone)
            say(f"run {run + 1}, learning alone: {alone} us a label")
            _keep(growth, options.json)


def _keep(growth: Growth, path: Path | None) -> None:
    if path is not None:
        text = json.dumps(_portable(msgspec.to_builtins(growth, enc_hook=str)), indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def _portable(known: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only concerns this machine."""
    known["load"].pop("lock")
    return known


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--axis", help=f"some of {','.join(AXES)},learning; all when left out")
    parser.add_argument("--quick", action="store_true", help="two or three points of each, one run")
    parser.add_argument("--runs", type=int, help="3, or 1 with --quick")
    parser.add_argument("--pairs", type=int, help="drained; 60,000, or 20,000 with --quick")
    parser.add_argument("--rate", type=float, default=1000.0, help="of the open loop, events/s")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the open loop")
    parser.add_argument("--at-most", type=int, help="leave out points beyond this size")
    parser.add_argument("--json", type=Path, help="write everything to this file, as it comes")
    parser.add_argument("--append", action="store_true", help="add to the runs in the file")
    parser.add_argument("--plots", type=Path, help="draw two plots into this folder")
    parser.add_argument("--show", action="store_true", help="measure nothing; show the JSON file")
    parser.add_argument("--lock", type=Path, help="file whose lock is held during a measurement")
    options = parser.parse_args()
    axes: Mapping[str, tuple[int, ...]] = QUICK if options.quick else AXES
    wanted = options.axis.split(",") if options.axis else [*axes, "learning"]
    if unknown := set(wanted) - set(axes) - {"learning"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(axes)}, learning")
    if (options.append or options.show) and options.json is None:
        parser.error("--append and --show need --json")
    options.learning = "learning" in wanted
    most = options.at_most or max(map(max, axes.values()))
    options.sizes = {
        name: [at for at in axes[name] if at <= most or at == getattr(BASE, name)]
        for name in wanted
        if name != "learning"
    }
    options.runs = options.runs or (1 if options.quick else 3)
    options.pairs = options.pairs or (20_000 if options.quick else 60_000)
    return options


def _begun(options: argparse.Namespace) -> Growth:
    load = Load(pairs=options.pairs, rate=options.rate, seconds=options.seconds, lock=options.lock)
    growth = Growth(cores=os.cpu_count() or 1, load=load)
    if options.append and options.json.exists():
        before = read_growth(options.json)
        growth.measured, growth.learning_us = before.measured, before.learning_us
    return growth


def main() -> None:
    """Run and print."""
    options = _options()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    if options.show:
        growth = read_growth(options.json)
    else:
        growth = _begun(options)
        with looked_at_broker() as broker:
            _run(broker, options, growth)
    print("\n".join(table(growth)))
    if options.plots:
        from bench.growth.plots import draw

        for path in draw(growth, options.plots):
            print(f"drawn: {path}")


if __name__ == "__main__":
    main()
