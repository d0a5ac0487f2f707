"""Throughput and memory beside many waiting predictions: ``python -m bench.waiting``.

One run measures the same drain of preloaded pairs four times, each with a worker that starts on
what the one before left:

- ``empty``: nothing waits;
- ``fresh pairs``: beside ``--count`` waiting predictions, pairs of new requests;
- ``old labels``: the steady state; new predictions come, and labels of requests that have waited
  longest, whose entries lie anywhere in RocksDB;
- ``empty again``: as the first, so that a machine that became slower shows.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.rig.drain import bench_settings
from bench.rig.filling import drained, fill, labels, predictions, running_worker
from bench.rig.load import preload
from bench.rig.servers import bench_broker
from leverframe.agents.settings import Settings
from leverframe.streams.runtime.topic_admin import create_topics

Span = tuple[int, int]
"""First request and the one beyond the last."""


async def pairs_drained(
    settings: Settings, environment: Mapping[str, str], new: Span, labelled: Span, log: Path
) -> dict[str, Any]:
    """Preload predictions and as many labels, then drain them."""
    servers, topics = settings.broker.servers, settings.topic_names
    partitions = settings.topics.partitions
    await preload(servers, topics.predictions, partitions, predictions(*new))
    await preload(servers, topics.ground_truth, partitions, labels(*labelled))
    return await drained(settings, environment, labelled[1] - labelled[0], log)


async def empty(servers: str, pairs: int) -> dict[str, Any]:
    """Measure a worker without state."""
    with tempfile.TemporaryDirectory() as folder:
        settings, environment = bench_settings(servers, Path(folder))
        await create_topics(settings.broker, settings.declared_topics(), 1)
        span = (0, pairs)
        return await pairs_drained(settings, environment, span, span, Path(folder) / "worker.log")


async def measure(servers: str, count: int, pairs: int) -> dict[str, dict[str, Any]]:
    """Return throughput and memory of each of the four states."""
    await empty(servers, pairs)  # a Java machine just started is slow
    found = {"empty": await empty(servers, pairs)}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "worker.log"
        settings, environment = bench_settings(servers, Path(folder))
        await create_topics(settings.broker, settings.declared_topics(), 1)
        with running_worker(environment, log) as worker:
            found["filling"] = {"resident_mb": await fill(settings, count, worker, log)}
        fresh, more = (count, count + pairs), (count + pairs, count + 2 * pairs)
        old = (0, min(pairs, count))
        found["fresh pairs"] = await pairs_drained(settings, environment, fresh, fresh, log)
        found["old labels"] = await pairs_drained(settings, environment, more, old, log)
    found["empty again"] = await empty(servers, pairs)
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="waiting predictions")
    parser.add_argument("--pairs", type=int, default=300_000, help="pairs drained in each state")
    options = parser.parse_args()
    with bench_broker() as servers:
        found = asyncio.run(measure(servers, options.count, options.pairs))
    for state, figures in found.items():
        print(state, json.dumps(figures))
    base = (found["empty"]["events_per_s"] + found["empty again"]["events_per_s"]) / 2
    peak = max(figures["resident_mb"]["peak"] for figures in found.values())
    print(
        f"{options.count:,} waiting: fresh pairs {found['fresh pairs']['events_per_s'] / base:.2f} "
        f"and old labels {found['old labels']['events_per_s'] / base:.2f} of {base:,.0f} events/s "
        f"in the empty state; peak resident memory {peak:,} MB"
    )


if __name__ == "__main__":
    main()
