"""The results of ``python -m bench.growth`` as tables in Markdown. Pure."""

import statistics
from collections.abc import Iterator

from bench.growth.results import Growth

__all__ = ["axis_table", "table"]

_HEAD = (
    "| {} | events/s | of the base (min..max) | worker, broker µs/event | in the open loop "
    "| label to reward p50, p99 ms | to control message p50, p99 ms | peak MB "
    "| RocksDB B/entry | topics B/event | ms/new arm | others' cores | runs |"
)


def table(growth: Growth) -> Iterator[str]:
    """Yield the tables of all axes."""
    for axis in dict.fromkeys(m.axis for m in growth.measured):
        yield from axis_table(growth, axis)
        yield ""
    if growth.learning_us:
        yield (
            "Learning alone, all labels of one route: "
            f"{statistics.median(growth.learning_us):.1f} µs a label."
        )


def axis_table(growth: Growth, axis: str) -> Iterator[str]:
    """Yield the table of one axis; a size that failed has its own row."""
    yield _HEAD.format(axis)
    yield "|" + "---:|" * 13
    for at in growth.sizes(axis):
        points = growth.points(axis, at)
        failed = [m for m in growth.measured if (m.axis, m.at) == (axis, at) and not m.point]
        if not points:
            yield f"| {at:,} | failed " + "| " * 10 + f"| 0 of {len(failed)} |"
            continue

        def median(field: str, at: int = at) -> float:
            return growth.median(axis, at, field)

        ratios = growth.ratios(axis, at)
        topics = statistics.median(sum(p.topic_bytes.values()) for p in points)
        runs = f"{len(points)} of {len(points) + len(failed)}" if failed else f"{len(points)}"
        yield (
            f"| {at:,} | {median('events_per_s'):,.0f} | {_ratio(ratios)} "
            f"| {median('worker_us'):.1f}, {median('broker_us'):.1f} "
            f"| {median('live_us'):.0f}, {median('live_broker_us'):.0f} "
            f"| {latency(growth, axis, at, 'reward')} "
            f"| {latency(growth, axis, at, 'control message')} "
            f"| {median('peak_mb'):,.0f} | {median('store_bytes'):.0f} | {topics:.0f} "
            f"| {median('new_arm_ms'):.2f} "
            f"| {median('others_cores'):.1f}, {median('live_others_cores'):.1f} | {runs} |"
        )


def _ratio(ratios: list[float]) -> str:
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def latency(growth: Growth, axis: str, at: int, kind: str) -> str:
    """Return median and 99th percentile, each the median of the runs.

    Ms; empty when none came.
    """
    seen = [p.latency_ms[kind] for p in growth.points(axis, at) if kind in p.latency_ms]
    return ", ".join(f"{statistics.median(q):,.0f}" for q in zip(*seen, strict=True))
