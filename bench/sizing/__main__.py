"""``python -m bench.sizing``: cores, disk and brokers that a rate of events needs.

The formula is in ``formula.py`` and ``event_costs.py``; its coefficients are fitted to
bench/growth/growth.json and bench/starting.json, which ``bench.growth`` and ``bench.starting``
write. ``--write`` puts the tables into docs/sizing.md: predictions for three rates, what single
parts bear, the coefficients, and every measured point beside what the formula says of it.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from bench.growth.results import read_growth
from bench.sizing.coefficients import fitted
from bench.sizing.event_costs import DAY_S, Need
from bench.sizing.formula import Plan, plan
from bench.sizing.tables import body

__all__ = ["described", "seconds", "written"]

PAGE: Final = Path("docs/sizing.md")
GROWTH: Final = Path(__file__).parents[1] / "growth" / "growth.json"
STARTING: Final = Path(__file__).parents[1] / "starting.json"
BEGIN: Final = "<!-- made by python -m bench.sizing --write -->"
END: Final = "<!-- end -->"


def described(found: Plan) -> list[str]:
    """Say a plan in words."""
    return [
        f"workers: {found.worker_cores:,.1f} cores in use, {found.processes:,} processes",
        f"partitions: {found.partitions:,}",
        f"brokers: {found.brokers:,} (by {found.brokers_by}), {found.broker_cores:,.1f} cores used",
        f"written: {found.written_mb_per_s:,.1f} MB/s on all brokers, all copies together",
        f"waiting: {found.waiting:,.0f} predictions",
        f"RocksDB: {found.store_gb:,.1f} GB on all workers",
        f"topics: {found.topics_gb:,.0f} GB on all brokers, all copies together",
        f"a lost disk: one worker decides again after {found.restore_s:,.0f} s",
        f"the busiest route takes {found.hottest_cores:.2f} of its partition's core",
        f"limited by {found.limited_by}",
    ]


def seconds(text: str) -> float:
    """Read a time span.

    Examples
    --------
    >>> seconds("24h")
    86400.0
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


def written(page: str, text: str) -> str:
    """Put text between the markers of a page."""
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100_000.0, help="events a second")
    parser.add_argument("--window", default="24h", help="attribution window: 90s, 24h, 7d")
    parser.add_argument("--value-kb", type=float, default=0.15, help="of a prediction")
    parser.add_argument("--arms", type=int, default=4, help="of a route")
    parser.add_argument("--routes", type=int, default=10)
    parser.add_argument(
        "--hottest", type=float, default=0.1, help="busiest route's share of labels"
    )
    parser.add_argument("--used", type=float, default=0.6, help="share of a core to be in use")
    parser.add_argument("--replication", type=int, default=3)
    parser.add_argument("--broker-mb-per-s", type=float, default=100.0, help="writes it bears")
    parser.add_argument("--broker-cores", type=float, default=8.0)
    parser.add_argument("--growth", type=Path, default=GROWTH, help="from bench.growth")
    parser.add_argument("--starting", type=Path, default=STARTING, help="from bench.starting")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    return parser.parse_args()


def main() -> None:
    """Predict and print, or write the page."""
    options = _options()
    growth = read_growth(options.growth)
    known = fitted(growth, json.loads(options.starting.read_text(encoding="utf-8")))
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(written(page, body(growth, known)), encoding="utf-8")
        print(f"wrote {PAGE}")
        return
    names = set(Need.__struct_fields__) & set(vars(options))
    need = Need(window_s=seconds(options.window), **{n: getattr(options, n) for n in names})
    print("\n".join(described(plan(known, need))))


if __name__ == "__main__":
    main()
