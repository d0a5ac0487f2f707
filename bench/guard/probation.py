"""``python -m bench.guard.probation``: what probation saves, what it costs, and whole routes.

Tables in Markdown go to stdout; ``--write`` puts them into docs/guard.md. One process; about a
quarter of an hour.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import betaincinv

from bench.guard.arrays import Bools, Floats
from bench.guard.whole import Outcome, World, run

PAGE: Final = Path("docs/guard.md")
GOOD: Final = 10_000
SHARES: Final = (0.1, 0.9)
BREAKS: Final = ((0.95, 0.5, 1500), (0.9, 0.8, 6000), (0.95, 0.9, 14_000))
"""Mean before and after, and requests after which who was not found counts as never found."""
BATCH: Final = 2000  # routes at once

Means = Callable[[int, Floats], Floats]


def broken(good: float, bad: float, k: int) -> Means:
    """Return the means where arm ``k`` breaks after ``GOOD`` labels of it."""

    def means(_: int, count: Floats) -> Floats:
        now = np.full(count.shape, good)
        now[:, k] = np.where(count[:, k] >= GOOD, bad, good)
        return now

    return means


def common(before: float, after: float, at_label: int) -> Means:
    """Return the means where all arms change at a label of the route."""

    def means(label: int, count: Floats) -> Floats:
        return np.full(count.shape, before if label < at_label else after)

    return means


def share_of(hits: Bools) -> str:
    """Share of routes with its 95 % interval of Clopper and Pearson, in per cent."""
    count, total = int(hits.sum()), len(hits)
    low = betaincinv(count, total - count + 1, 0.025) if count else 0.0
    high = betaincinv(count + 1, total - count, 0.975) if count < total else 1.0
    return f"{count / total:.2%} ({100 * low:.2f} to {100 * high:.2f})"


def row(*cells: object) -> str:
    """Return a row of a table in Markdown."""
    return "| " + " | ".join(map(str, cells)) + " |"


def wait_rows(rng: np.random.Generator, routes: int) -> Iterator[str]:
    """Labels of the second arm from its break to its rollback."""
    yield row("change", "probation", "median", "95 % of routes", "before the break", "other arm")
    yield "|---|---|---:|---:|---:|---:|"
    for good, bad, longest in BREAKS:
        for share in (0.0, 0.5, 0.2):
            world = World(
                arms=2,
                labels=int(GOOD / SHARES[1]) + (longest if share else 4 * longest),
                means=broken(good, bad, 1),
                shares=SHARES,
                probation_share=share,
            )
            found = run(rng, routes, world, lambda out: np.isfinite(out.rolled_at[:, 1]))
            waited = found.labels_then[:, 1] - GOOD
            late = waited[waited > 0]
            cuts = [np.quantile(late, at, method="lower") for at in (0.5, 0.95)]
            told = [f"{cut:,.0f}" if np.isfinite(cut) else "later" for cut in cuts]
            name = f"at most {share:.0%}" if share else "off"
            other = share_of(np.isfinite(found.rolled_at[:, 0]))
            yield row(f"{good:.2f} to {bad:.2f}", name, *told, share_of(waited <= 0), other)


def cost_rows(rng: np.random.Generator, routes: int) -> Iterator[str]:
    """Requests on probation, and false rollbacks, where no arm is worse than another."""
    yield row("both arms", "requests on probation", "any rollback")
    yield "|---|---:|---:|"
    worlds = [(f"{p:.2f} all the time", common(p, p, 0)) for p in (0.95, 0.9, 0.5)]
    worlds += [
        (f"{p:.2f}, from label 15,000 on {q:.2f}", common(p, q, 15_000))
        for p, q in ((0.95, 0.9), (0.9, 0.8), (0.9, 0.5))
    ]
    for name, means in worlds:
        found = run(rng, routes, World(arms=2, labels=30_000, means=means, shares=SHARES))
        taken = found.on_probation.sum() / found.requests.sum()
        yield row(name, f"{taken:.2%}", share_of(np.isfinite(found.rolled_at).any(axis=1)))


def champion_rows(rng: np.random.Generator, routes: int) -> Iterator[str]:
    """First champions that break, with weights that follow labels and with promotions."""
    yield row("arms", "change", "rolled back", "labels until then, median", "the heir is broken")
    yield "|---:|---|---:|---:|---:|"
    for arms in (2, 4):
        for good, bad, longest in BREAKS[:2]:
            world = World(
                arms=arms,
                # Thompson's draws share the traffic of equal arms anyhow: time for the champion.
                labels=2 * arms * GOOD + 4 * longest,
                means=broken(good, bad, 0),
                promote=True,
            )
            found = run(rng, routes, world, lambda out: np.isfinite(out.rolled_at[:, 0]))
            broke = found.labels_then[:, 0] > GOOD
            waited = found.labels_then[broke, 0] - GOOD
            median = f"{np.median(waited):,.0f}" if len(waited) else "never"
            heir = np.isfinite(found.heir_was).any(axis=1) & (found.heir_was == 0).any(axis=1)
            change = f"{good:.2f} to {bad:.2f}"
            yield row(arms, change, f"{int(broke.sum())} of {routes}", median, int(heir.sum()))


def reserve_rows(rng: np.random.Generator, routes: int) -> Iterator[str]:
    """Last known good arms that break, with a tenth of the traffic."""
    yield row("change", "rolled back", "labels until then, median", "the champion, too")
    yield "|---|---:|---:|---:|"
    good_labels = GOOD // 9
    for good, bad, longest in BREAKS[:2]:

        def means(_: int, count: Floats, good: float = good, bad: float = bad) -> Floats:
            now = np.full(count.shape, good)
            now[:, 0] = np.where(count[:, 0] >= good_labels, bad, good)
            return now

        labels = int(good_labels / SHARES[0]) + 4 * longest
        world = World(arms=2, labels=labels, means=means, shares=SHARES, is_succeeded=True)
        found = run(rng, routes, world, lambda out: np.isfinite(out.rolled_at[:, 0]))
        gone = np.isfinite(found.rolled_at[:, 0])
        median = f"{np.median(found.labels_then[gone, 0] - good_labels):,.0f}"
        other = int(np.isfinite(found.rolled_at[:, 1]).sum())
        yield row(f"{good:.2f} to {bad:.2f}", f"{int(gone.sum())} of {routes}", median, other)


def route_rows(rng: np.random.Generator, routes: int, labels: int) -> Iterator[str]:
    """Whole routes of equal arms: any false rollback, and what probation takes."""
    yield row("arms", "mean reward", "any rollback", "requests on probation")
    yield "|---|---:|---:|---:|"
    third = labels // 3
    for name, births in (
        ("2", (0, 0)),
        ("4", (0,) * 4),
        ("10", (0,) * 10),
        ("2, and 2 newcomers", (0, 0, third, 2 * third)),
    ):
        parts: list[Outcome] = []
        for begin in range(0, routes, BATCH):
            world = World(
                arms=len(births),
                labels=labels,
                means=common(0.9, 0.9, 0),
                births=births,
                promote=True,
            )
            parts.append(run(rng, min(BATCH, routes - begin), world))
        rolled = np.concatenate([np.isfinite(part.rolled_at).any(axis=1) for part in parts])
        taken = sum(part.on_probation.sum() for part in parts) / (routes * labels)
        yield row(name, "0.90", share_of(rolled), f"{taken:.2%}")


def waves(middle: float, height: float, period: int) -> Means:
    """Return the means where all arms rise and fall together, by labels of the route."""

    def means(label: int, count: Floats) -> Floats:
        return np.full(count.shape, middle + height * math.sin(2 * math.pi * label / period))

    return means


def slope(before: float, after: float, begin: int, end: int) -> Means:
    """Return the means where all arms fall together, evenly between two labels of the route."""

    def means(label: int, count: Floats) -> Floats:
        part = min(1.0, max(0.0, (label - begin) / (end - begin)))
        return np.full(count.shape, before + part * (after - before))

    return means


def drift_rows(rng: np.random.Generator, routes: int, labels: int) -> Iterator[str]:
    """Whole routes of equal arms in a world that moves: any false rollback, probation's share."""
    yield row("all arms", "arms", "any rollback", "requests on probation")
    yield "|---|---:|---:|---:|"
    third = labels // 3
    worlds = {
        f"0.90, at once 0.80 at label {third:,}": common(0.9, 0.8, third),
        f"0.90 to 0.80 in 1,000 labels from {third:,} on": slope(0.9, 0.8, third, third + 1000),
        "waves of 0.90 ± 0.05, 2,000 labels long": waves(0.9, 0.05, 2000),
        "waves of 0.90 ± 0.05, 200 labels long": waves(0.9, 0.05, 200),
    }
    for name, means in worlds.items():
        for births in ((0, 0), (0, 0, third, 2 * third)):
            parts: list[Outcome] = []
            for begin in range(0, routes, BATCH):
                world = World(
                    arms=len(births), labels=labels, means=means, births=births, promote=True
                )
                parts.append(run(rng, min(BATCH, routes - begin), world))
            rolled = np.concatenate([np.isfinite(part.rolled_at).any(axis=1) for part in parts])
            taken = sum(part.on_probation.sum() for part in parts) / (routes * labels)
            arms = "2" if len(births) == 2 else "2, and 2 newcomers"
            yield row(name, arms, share_of(rolled), f"{taken:.2%}")


def report(options: argparse.Namespace) -> str:
    """All tables, with what they are."""
    rng = np.random.default_rng(options.seed)
    few, many, labels = options.detections, options.routes, options.labels
    seconds = time.perf_counter()
    routes = many // 5
    moving = (
        f"Equal arms, `thompson`, promotions on, in a world that moves, {routes:,} such routes:",
        drift_rows(np.random.default_rng(options.seed + 2), routes, labels),
    )
    broken = f"it is the second arm with 90 % of the traffic, margin 0.02, good for {GOOD:,} labels"
    parts = [
        (
            f"Labels of the broken arm until its rollback, {few:,} routes: {broken}:",
            wait_rows(rng, few),
        ),
        (f"What probation costs where no arm is worse, {few:,} routes:", cost_rows(rng, few)),
        (
            f"First champions that break, `thompson`, promotions on, {few // 4:,} routes:",
            champion_rows(rng, few // 4),
        ),
        (
            f"Equal arms, `thompson`, promotions on, {many:,} routes of {labels:,} labels:",
            route_rows(rng, many, labels),
        ),
        moving,
        (
            f"Last known good arms that break, with 10 % of the traffic, {few // 4:,} routes:",
            reserve_rows(np.random.default_rng(options.seed + 1), few // 4),
        ),
    ]
    made = []
    for title, lines in [moving] if options.drift else parts:
        made.append("\n".join([title, "", *lines]))
        print(f"{time.perf_counter() - seconds:.0f} s: {title}", file=sys.stderr, flush=True)
    return "\n\n".join(made)


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detections", type=int, default=200, help="routes whose arm breaks")
    parser.add_argument("--routes", type=int, default=10_000, help="with equal arms")
    parser.add_argument("--labels", type=int, default=5_000, help="of such a route")
    parser.add_argument("--seed", type=int, default=56)
    parser.add_argument("--drift", action="store_true", help="the table of moving worlds alone")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    options = parser.parse_args()
    text = report(options)
    print(text)
    if options.write and not options.drift:
        begin, end = (f"<!-- probation:{word} -->" for word in ("begin", "end"))
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(begin)[0], page.partition(end)[2]
        PAGE.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
