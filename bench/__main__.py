"""``python -m bench``: throughput beside the ceiling, in one run."""

import argparse
import asyncio
import json
import statistics

from bench.drain import drain
from bench.servers import bench_broker


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run")
    parser.add_argument("--pairs", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.runs = 50_000, 1
    with bench_broker() as servers:
        results = asyncio.run(drain(servers, options.pairs, options.runs))
    for result in results:
        print(json.dumps(result))
    shares = [result["share_of_getmany"] for result in results]
    rates = [result["events_per_s"] for result in results]
    print(
        f"median {statistics.median(rates):,.0f} events/s, "
        f"{statistics.median(shares):.3f} of getmany"
    )


if __name__ == "__main__":
    main()
