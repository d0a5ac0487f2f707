"""``python -m bench.guard``: false alarms of the guard, and how long it takes to find a bad arm.

Many routes are simulated at once on the product's own bets, see ``bench.guard.simulation``. Tables
in Markdown go to stdout; ``--write`` puts them into docs/guard.md.
"""

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from bench.guard.simulation import (
    BATCH,
    MARGINS,
    Floats,
    against_champion,
    against_level,
    beside_rules,
    bound,
    draw,
    equal_arms,
    first_alarm,
    half_asleep,
    log_evidence,
    waits,
)
from leverframe.policies.guard.verdict import arm_alpha

Results = dict[tuple[Any, ...], dict[str, Floats]]

PAGE: Final = Path("docs/guard.md")
ALPHA: Final = 0.01
THRESHOLDS: Final = {
    "alone": math.log(1 / ALPHA),
    "second arm": math.log(1 / arm_alpha(ALPHA, 2)),
    "second arm, with a floor": math.log(2 / arm_alpha(ALPHA, 2)),
    "first arm, with a floor": math.log(2 / arm_alpha(ALPHA, 1)),
}
RATES: Final = (0.9, 0.94)
PATTERNS: Final = ("steady", "falling", "falling, ramp", "waves, ramp")
CHANGES: Final = ((0.9, 0.8), (0.95, 0.9), (0.94, 0.88))
SIDES: Final = ((None, 0.0), *((share, m) for share in (0.5, 0.1, 0.9) for m in MARGINS))
"""The arm's share of traffic and the margin; no share: the test against the floor."""
GOOD: Final = (0, 1000, 10_000)
RULES: Final = {
    "guard 0.0": "guard, margin 0, alpha 0.01",
    "guard 0.02": "guard, margin 0.02, alpha 0.01",
    "threshold": "last 100 labels more than 0.05 below the champion's",
    "once": "z-test, alpha 0.01, once at 1,000 labels",
    "peeked": "z-test, alpha 0.01, at every look",
}
HORIZON: Final = 12  # times the bound: who was not found by then counts as never found
MOST: Final = 0.5  # of the routes: what the others do says little
QUANTILES: Final = (0.05, 0.5, 0.95)
CELLS: Final = 5_000_000  # labels of all routes in one task


@dataclass(frozen=True)
class Task:
    """Some routes of one scenario."""

    key: tuple[Any, ...]
    run: Callable[..., dict[str, Floats]]
    seed: tuple[int, ...]
    routes: int
    arguments: dict[str, Any]


def broken_arm(
    rng: np.random.Generator,
    routes: int,
    *,
    change: tuple[float, float],
    share: float | None,
    margin: float,
    good: int,
    labels: int,
) -> dict[str, Floats]:
    """How long a bad arm serves until the guard finds it, with a look after every label."""
    one = np.ones(labels)
    seen = draw(rng, routes, (share or 1.0) * one, change[1] * one, change[0] * one, good)
    if share is None:
        looks, second = against_level(seen, change[0], 1), "second arm, with a floor"
    else:
        looks, second = against_champion(seen, margin, 1), "second arm"
    evidence = log_evidence(looks)
    if share is not None:
        evidence = half_asleep(evidence)
    at = {"alone": THRESHOLDS["alone"], "second": THRESHOLDS[second]}
    return {k: waits(seen, first_alarm(looks, evidence, nats), good) for k, nats in at.items()}


def plan(options: argparse.Namespace) -> Iterator[Task]:
    """List all tasks, the long ones first."""
    scenarios: list[tuple[str, Callable[..., dict[str, Floats]], int, dict[str, Any]]] = []
    alone = {"threshold": THRESHOLDS["alone"]}
    for rate, pattern in product(RATES, PATTERNS):
        known: dict[str, Any] = {"pattern": pattern, "rate": rate, "labels": options.labels}
        scenarios.append(("equal", equal_arms, options.routes, known))
    for rate in RATES:
        known = {"change": (rate, rate), "good": 0, "labels": options.labels}
        scenarios.append(("rules", beside_rules, options.detections, known | alone))
    for change, good, (share, margin) in product(CHANGES, GOOD, SIDES):
        least = bound(*change, share, margin, ALPHA)
        length = math.ceil((good * 1.05 + HORIZON * least + 100) / (share or 1.0))
        known = {"change": change, "share": share, "margin": margin, "good": good}
        scenarios.append(("broken", broken_arm, options.detections, known | {"labels": length}))
    for change, good in product(CHANGES, (0, GOOD[-1])):
        known = {"change": change, "good": good, "labels": 2 * (good + 10_000)}
        scenarios.append(("rules", beside_rules, options.detections, known | alone))
    for index, (kind, run, routes, known) in enumerate(scenarios):
        key = (kind, *((k, v) for k, v in known.items() if k not in {"labels", "threshold"}))
        size = max(10, min(500, CELLS // known["labels"]))
        for begin in range(0, routes, size):
            yield Task(key, run, (options.seed, index, begin), min(size, routes - begin), known)


def carry_out(task: Task) -> tuple[tuple[Any, ...], dict[str, Floats]]:
    """Run one task, in some process."""
    rng = np.random.default_rng(task.seed)
    return task.key, task.run(rng, task.routes, **task.arguments)


def simulate(options: argparse.Namespace) -> Results:
    """Run all tasks; order of arrival does not matter."""
    tasks = list(plan(options))
    parts: dict[tuple[Any, ...], dict[str, list[Floats]]] = defaultdict(lambda: defaultdict(list))
    started = time.perf_counter()
    with Pool(options.processes) as pool:
        for done, (key, result) in enumerate(pool.imap_unordered(carry_out, tasks), start=1):
            for name, values in result.items():
                parts[key][name].append(values)
            took_s = time.perf_counter() - started
            print(f"\r{done}/{len(tasks)} tasks, {took_s:.0f} s ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {key: {name: np.concatenate(v) for name, v in r.items()} for key, r in parts.items()}


def _key(kind: str, **known: object) -> tuple[Any, ...]:
    return (kind, *known.items())


def _share(hits: NDArray[np.bool_]) -> str:
    """Share of routes with its 95 % interval of Clopper and Pearson, in per cent."""
    count, total = int(hits.sum()), len(hits)
    low = betaincinv(count, total - count + 1, 0.025) if count else 0.0
    high = betaincinv(count + 1, total - count, 0.975) if count < total else 1.0
    return f"{count / total:.2%} ({100 * low:.2f} to {100 * high:.2f})"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _median(waited: Floats) -> float:
    late = waited[waited > 0]
    return float(np.median(late)) if len(late) else math.inf


def _labels(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "never"


def alarm_rows(results: Results) -> Iterator[str]:
    """Tables of false alarms."""
    tests = [(m, at) for m in MARGINS for at in ("alone", "second arm")]
    yield _row("mean reward", "world", "look every", *(f"margin {m:g}, {at}" for m, at in tests))
    yield "|---:|---|---:|" + "---:|" * len(tests)
    for rate, pattern, every in product(RATES, PATTERNS, (1, BATCH)):
        most = results[_key("equal", pattern=pattern, rate=rate)]
        found = [_share(most[f"champion {m} {every}"] >= THRESHOLDS[at]) for m, at in tests]
        yield _row(f"{rate:.2f}", pattern, every, *found)
    yield ""
    yield _row("mean reward = floor", "look every", "alone", "second arm", "whole route")
    yield "|---:|---:|---:|---:|---:|"
    for rate, every in product(RATES, (1, BATCH)):
        most = results[_key("equal", pattern="steady", rate=rate)]
        floor, second = most[f"floor {every}"], THRESHOLDS["second arm, with a floor"]
        route = (floor >= second) | (most[f"champion 0.0 {every}"] >= second)
        route |= most[f"champion's floor {every}"] >= THRESHOLDS["first arm, with a floor"]
        alone = floor >= THRESHOLDS["alone"]
        yield _row(f"{rate:.2f}", every, *map(_share, (alone, floor >= second, route)))


def wait_rows(results: Results) -> Iterator[str]:
    """Table of waits beside the bounds."""
    later = [f"after {good:,}" for good in GOOD[1:]]
    head = ["change", "against", "arm's share", "margin", "bound", "from birth", "as second arm"]
    yield _row(*head, *later)
    yield "|---|---|---:|---:|---:|" + "---:|" * (2 + len(later))
    soon, missed = 0.0, 0.0
    for change, (share, margin) in product(CHANGES, SIDES):
        least = bound(*change, share, margin, ALPHA)
        known: dict[str, Any] = {"change": change, "share": share, "margin": margin}
        found = [results[_key("broken", **known, good=good)] for good in GOOD]
        medians = [_median(at["alone"]) for at in found]
        soon = max(soon, *(float((at["alone"] <= 0).mean()) for at in found))
        missed = max(missed, *(float(np.isinf(at["alone"]).mean()) for at in found))
        cells = [f"{_labels(wait)} ({wait / least:.1f})" for wait in medians]
        cells.insert(1, _labels(_median(found[0]["second"])))
        name = f"{change[0]:.2f} to {change[1]:.2f}"
        side = ("floor", "any", "-") if share is None else ("champion", f"{share:.0%}", margin)
        yield _row(name, *side, f"{least:,.0f}", *cells)
    yield ""
    yield f"At most {soon:.1%} of a row's routes had an alarm before the break (they are left out);"
    yield f"at most {missed:.1%} had none within {HORIZON} times the bound."


def rule_rows(results: Results) -> Iterator[str]:
    """Table of simpler rules beside the guard."""
    heads = [f"false alarms at {rate:.2f}" for rate in RATES]
    heads += [f"{good:.2f} to {bad:.2f}" for good, bad in CHANGES]
    yield _row("rule", *heads, *(f"{head}, after {GOOD[-1]:,}" for head in heads[len(RATES) :]))
    yield "|---|" + "---:|" * (len(RATES) + 2 * len(CHANGES))
    for rule, name in RULES.items():
        same = [results[_key("rules", change=(r, r), good=0)][rule] for r in RATES]
        cells = [_share(np.isfinite(at)) for at in same]
        for good in (0, GOOD[-1]):
            found = [results[_key("rules", change=c, good=good)][rule] for c in CHANGES]
            cells += [_waited(at) for at in found]
        yield _row(name, *cells)


def _waited(at: Floats) -> str:
    early = float((at <= 0).mean())
    median = _labels(_median(at)) if early < MOST else "-"
    return f"{median} ({early:.0%} before)" if early > ALPHA else median


def summary(results: Results) -> dict[str, dict[str, dict[str, float | None]]]:
    """For equal arms the number of routes at each threshold; else quantiles, None for never."""
    answer: dict[str, dict[str, dict[str, float | None]]] = {}
    for key, result in results.items():
        at = answer[" ".join(map(str, key))] = {}
        for name, values in result.items():
            if key[0] == "equal":
                at[name] = {k: float((values >= nats).sum()) for k, nats in THRESHOLDS.items()}
            else:
                cuts = {str(q): float(np.quantile(values, q, method="lower")) for q in QUANTILES}
                at[name] = {q: cut if math.isfinite(cut) else None for q, cut in cuts.items()}
    return answer


def report(results: Results, options: argparse.Namespace) -> str:
    """All tables, with what they are."""
    equal = f"{options.routes:,} routes of {options.labels:,} rewards with equal arms:"
    broken = f"median of {options.detections:,} routes, a look after every label:"
    rules = f"{options.detections:,} routes, half of the traffic each, a look every {BATCH} rewards"
    parts: list[tuple[str, Iterator[str]]] = [
        (f"Share of routes with any false alarm, {equal}", alarm_rows(results)),
        (f"Labels of the arm until its rollback (times the bound), {broken}", wait_rows(results)),
        (f"Simpler rules: false alarms as above, median labels; {rules}:", rule_rows(results)),
    ]
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in parts)


def write(text: str) -> None:
    """Put the tables between the markers of the page."""
    begin, end = (f"<!-- figures:{word} -->" for word in ("begin", "end"))
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(begin)[0], page.partition(end)[2]
    PAGE.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def main() -> None:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short routes, seconds")
    parser.add_argument("--routes", type=int, default=10_000, help="with equal arms")
    parser.add_argument("--labels", type=int, default=20_000, help="rewards of such a route")
    parser.add_argument("--detections", type=int, default=1000, help="routes of each other kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=55)
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("the page holds the figures of a full run")
    if options.quick:
        options.routes, options.labels, options.detections = 400, 4000, 20
    results = simulate(options)
    text = report(results, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(summary(results), indent=1) + "\n", encoding="utf-8")
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
