"""The tables of docs/sizing.md. Pure."""

import statistics
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from bench.growth.measure import Point
from bench.growth.results import Growth
from bench.growth.shapes import BASE, Shape
from bench.growth.table import table
from bench.sizing.coefficients import Coefficients, topic_bytes
from bench.sizing.event_costs import Need, broker_event_us, event_bytes, event_us
from bench.sizing.formula import limits, plan

__all__ = ["body", "errors_table", "rates_table"]

RATES: Final = (1_000.0, 100_000.0, 10_000_000.0)
PAGE_NEED: Final = Need(rate=0.0, routes=100)
"""Of the page's three rates: a day's window, the base's arms, a tenth of all labels on a route."""


def rates_table(known: Coefficients, base: Need) -> Iterator[str]:
    """Yield what three rates need."""
    plans = [plan(known, msgspec.structs.replace(base, rate=rate)) for rate in RATES]
    rows: dict[str, list[str]] = {
        "worker cores in use": [f"{p.worker_cores:,.1f}" for p in plans],
        f"worker processes, at {base.used:.0%} of a core": [f"{p.processes:,}" for p in plans],
        "partitions": [f"{p.partitions:,}" for p in plans],
        "broker cores in use, all copies": [f"{p.broker_cores:,.1f}" for p in plans],
        "written, all copies, MB/s": [f"{p.written_mb_per_s:,.1f}" for p in plans],
        "brokers (by what)": [f"{p.brokers:,} ({p.brokers_by})" for p in plans],
        "waiting predictions": [f"{p.waiting:,.0f}" for p in plans],
        "RocksDB, all workers, GB": [f"{p.store_gb:,.1f}" for p in plans],
        "topics, all copies, GB": [f"{p.topics_gb:,.0f}" for p in plans],
        "one lost disk, seconds": [f"{p.restore_s:,.0f}" for p in plans],
        "busiest route, cores of its partition": [f"{p.hottest_cores:.3f}" for p in plans],
        "limited by": [p.limited_by for p in plans],
    }
    yield "| | " + " | ".join(f"{rate:,.0f} events/s" for rate in RATES) + " |"
    yield "|---" * (len(RATES) + 1) + "|"
    for name, cells in rows.items():
        yield f"| {name} | " + " | ".join(cells) + " |"


def limits_table(known: Coefficients, base: Need) -> Iterator[str]:
    """Yield what single parts bear."""
    found, used = limits(known, base), base.used
    yield f"| part | bears, events/s | at {used:.0%} |"
    yield "|---|---:|---:|"
    for name, rate in (
        ("a core of a worker; a partition, which never has more", found.core),
        ("a route: its labels are learned from on one partition", found.route),
        (f"a broker, {base.broker_mb_per_s:.0f} MB/s of writes, one copy", found.broker_writes),
        (f"a broker, {base.broker_cores:.0f} cores, one copy", found.broker_cores),
    ):
        yield f"| {name} | {rate:,.0f} | {rate * used:,.0f} |"


def coefficients_table(known: Coefficients) -> Iterator[str]:
    """Yield the coefficients."""
    yield "| coefficient | value |"
    yield "|---|---:|"
    for name, value in msgspec.structs.asdict(known).items():
        yield f"| `{name}` | {value:,.4g} |" if value < 1000 else f"| `{name}` | {value:,.0f} |"


def errors_table(growth: Growth, known: Coefficients) -> Iterator[str]:
    """Yield every measured deployment beside what the formula says of it."""
    yield (
        "| | worker µs/event, measured | formula | broker µs/event, measured | formula "
        "| topics B/event, measured | formula | cores at 1,000 events/s, measured | formula |"
    )
    yield "|---|" + "---:|" * 8
    for axis in dict.fromkeys(m.axis for m in growth.measured):
        for at in growth.sizes(axis):
            points = growth.points(axis, at)
            if not points:
                yield f"| {axis} {at:,} | failed | | | | | | | |"
                continue
            cells = (cell for pair in _beside(points, growth, known) for cell in pair)
            yield f"| {axis} {at:,} | " + " | ".join(cells) + " |"


def _beside(points: list[Point], growth: Growth, known: Coefficients) -> Iterator[tuple[str, str]]:
    """Medians of the runs, each with its prediction and the error of that."""
    shape, rate = points[0].shape, growth.load.rate
    need = need_of(shape, rate)
    light = msgspec.structs.replace(need, routes=BASE.routes)
    live = max(known.light_cores, rate * event_us(known, light) / 1e6) * shape.workers
    live += known.route_cores * (shape.routes - BASE.routes)
    # Waiting predictions are written, too, but bring no label and no reward.
    share = shape.waiting / (shape.waiting + 2 * growth.load.pairs)
    for measured, predicted, form in (
        (
            _middle(p.worker_us for p in points),
            event_us(known, need, _each(shape), shape.workers),
            ",.1f",
        ),
        (_middle(p.broker_us for p in points), broker_event_us(known, need), ",.1f"),
        (_middle(map(topic_bytes, points)), event_bytes(known, need), ",.0f"),
        (_middle(p.live_us * rate / 1e6 for p in points), live, ".2f"),
    ):
        if form == ",.0f" and share:
            yield f"{measured:{form}}", "other mix"
        else:
            yield f"{measured:{form}}", f"{predicted:{form}} ({predicted / measured - 1:+.0%})"


def _each(shape: Shape) -> float:
    return shape.waiting / shape.workers


def _middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def need_of(shape: Shape, rate: float) -> Need:
    """Return what a measured deployment was asked for."""
    return Need(
        rate=rate,
        window_s=0.0,
        value_kb=shape.value / 1000,
        arms=shape.arms,
        routes=shape.routes,
        replication=1,
    )


def body(growth: Growth, known: Coefficients) -> str:
    """Return everything between the page's markers."""
    parts: list[tuple[str, Iterator[str]]] = [
        ("### Three rates", rates_table(known, PAGE_NEED)),
        ("### What single parts bear", limits_table(known, PAGE_NEED)),
        ("### Coefficients", coefficients_table(known)),
        ("### The formula beside every measured deployment", errors_table(growth, known)),
        ("### What was measured", table(growth)),
    ]
    return "\n\n".join("\n".join([title, "", *lines]).strip() for title, lines in parts)
