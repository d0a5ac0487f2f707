"""``python -m bench``: ours beside its peers and the ceilings, in one run.

Each contender drains the same preloaded topics in turn, several times over; what it wrote is
checked before its time counts. ``--quick`` is for CI: ratios of one short run.
"""

import argparse
import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.compare.ceilings import CEILINGS
from bench.compare.regression import store_ratios, stored_ratios, warnings_of, watched
from bench.compare.rounds import Comparison, compare, prepared, say
from bench.compare.tables import summary, table
from bench.peers.contender import Contender
from bench.peers.registry import CONTENDERS
from bench.rig.servers import bench_broker

QUICK: Final = ("getmany", "ours", "streams-eos")
QUICK_PAIRS: Final = 40_000
WARM_UP: Final = ("ours", "streams-eos")


def _options() -> argparse.Namespace:
    names = [*CEILINGS, *(contender.name for contender in CONTENDERS)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"one short run of {', '.join(QUICK)}")
    parser.add_argument("--pairs", type=int, help="predictions, and as many labels")
    parser.add_argument("--runs", type=int, help="rounds")
    parser.add_argument("--only", help=f"some of: {','.join(names)}")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    parser.add_argument("--plots", type=Path, help="draw two plots into this folder")
    parser.add_argument("--check", action="store_true", help="warn where ratios have moved")
    parser.add_argument("--store", action="store_true", help="keep the ratios for --check")
    options = parser.parse_args()
    options.pairs = options.pairs or (QUICK_PAIRS if options.quick else 300_000)
    options.runs = options.runs or (1 if options.quick else 5)
    options.names = options.only.split(",") if options.only else QUICK if options.quick else names
    if unknown := set(options.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    return options


def _hush() -> None:
    """A topic just made has no leader yet: aiokafka tries again by itself and warns."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _measure(options: argparse.Namespace, contenders: Sequence[Contender]) -> Comparison:
    comparison = Comparison(pairs=options.pairs, rounds=options.runs)
    ready = prepared(contenders, comparison)
    ceilings = [name for name in CEILINGS if name in options.names]
    with bench_broker() as servers:
        say("warming the broker up: a Java machine just started is slow")
        warm = Comparison(pairs=options.pairs // 4, rounds=1)
        few = WARM_UP[:1] if options.quick else WARM_UP
        asyncio.run(compare(servers, [one for one in ready if one[0].name in few], [], warm))
        say(f"{len(ready)} contenders, {len(ceilings)} ceilings, {options.runs} rounds")
        asyncio.run(compare(servers, ready, ceilings, comparison))
    return comparison


def _check(known: dict[str, Any], *, store: bool) -> None:
    found = watched(known)
    if store:
        store_ratios(found)
    moved = list(warnings_of(found, stored_ratios()))
    for warning in moved:
        print(f"WARNING: {warning}")
    if not moved:
        print("ratios are within 20 % of the stored ones")


def main() -> None:
    """Run and print."""
    options = _options()
    _hush()
    comparison = _measure(options, [c for c in CONTENDERS if c.name in options.names])
    known = summary(comparison)
    print("\n".join(table(comparison)))
    if options.json:
        options.json.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        from bench.compare.plots import draw

        for path in draw(comparison, options.plots):
            print(f"drawn: {path}")
    if options.check or options.store:
        _check(known, store=options.store)


if __name__ == "__main__":
    main()
