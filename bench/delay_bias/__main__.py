"""``python -m bench.delay_bias``: what slow labels do to means, policies and guard, and the cure.

Routes are simulated through the product's own steps, see ``bench.delay_bias.simulation``, with and
without ``delay_correction``. Tables in Markdown go to stdout; ``--write`` puts them into
docs/labels.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.delay_bias.simulation import Look, Scenario, watched
from leverframe.streams.routes.settings import GuardSettings, NamedParams

PAGE: Final = Path("docs/labels.md")
BEGIN: Final = "<!-- made by python -m bench.delay_bias --write -->"
END: Final = "<!-- end -->"

MEANS_AT_S: Final = (1800, 2700, 3600)
POLICY_AT_S: Final = (1800, 3600)
LABEL: Final = NamedParams(name="label")
EVENLY: Final = NamedParams(name="epsilon_greedy", params={"epsilon": 1.0})
UNGUARDED: Final = GuardSettings(enabled=False)
MATURITY_S: Final = 2400.0


def lognormal_s(rng: np.random.Generator, median_s: float) -> float:
    """Return a delay; 99 in 100 are below 3.2 times the median."""
    return float(median_s * np.exp(0.5 * rng.standard_normal()))


def slow_positives(rng: np.random.Generator, arm: str, is_good: bool) -> float:  # noqa: FBT001
    """Return half a minute, but ten minutes for good outcomes of the slow arm."""
    return lognormal_s(rng, 600.0 if arm == "slow" and is_good else 30.0)


def slow_clicks(rng: np.random.Generator, arm: str, is_good: bool) -> float | None:  # noqa: FBT001
    """Return the same for good outcomes; there is no label for a bad one."""
    return slow_positives(rng, arm, is_good) if is_good else None


def equal_delays(rng: np.random.Generator, arm: str, is_good: bool) -> float:  # noqa: FBT001
    """Return two minutes, whatever the arm and the outcome."""
    del arm, is_good
    return lognormal_s(rng, 120.0)


RULES: Final[dict[str, Any]] = {
    "window_s": 7200.0, "reward": LABEL, "bucket_ms": 60_000, "decision_labels": 64,
    "decision_interval_ms": 10_000, "promote": False,
}  # fmt: skip
CLICKS: Final = {"default_reward": 0.0, "default_after_s": 1800.0}
CORRECTED: Final = {"delay_correction": True, "matures_after_s": MATURITY_S}
CORRECTED_CLICKS: Final = {"delay_correction": True}

MEANS: Final[dict[str, tuple[Scenario, dict[str, Any]]]] = {
    "slow positives": (Scenario((0.5, 0.5), slow_positives, rules=RULES), CORRECTED),
    "slow clicks, silence is 0": (
        Scenario((0.1, 0.1), slow_clicks, rules=RULES | CLICKS), CORRECTED_CLICKS,
    ),
    "equal delays": (Scenario((0.5, 0.5), equal_delays, rules=RULES), CORRECTED),
}  # fmt: skip
POLICIES: Final[dict[str, Scenario]] = {
    "equal quality, slow positives": Scenario((0.5, 0.5), slow_positives, rules=RULES),
    "slow arm better by 0.1": Scenario((0.5, 0.6), slow_positives, rules=RULES),
    "slow arm better by 0.1, equal delays": Scenario((0.5, 0.6), equal_delays, rules=RULES),
}


def looks(scenario: Scenario, rules: dict[str, Any], at_s: Sequence[int], seed: int) -> list[Look]:
    """Run one route."""
    return list(watched(scenario, seed, at_s, **rules))


def errors(runs: Sequence[Look], truth: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the errors of the slow arm's plain and corrected mean; runs that know it count."""
    both = np.array([(look.plain[1], look.corrected[1]) for look in runs]) - truth
    both = both[~np.isnan(both).any(axis=1)]
    return both[:, 0], both[:, 1]


def means_table(pool: Any, seeds: int) -> list[str]:
    """Return how wrong the slow arm's mean is, with half of the traffic on each arm."""
    lines = [
        "| labels | after | bias, plain | corrected | RMSE, plain | corrected | bias left |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (scenario, correction) in MEANS.items():
        rules = {"policy": EVENLY, "guard": UNGUARDED, **correction}
        done = pool.map(partial(looks, scenario, rules, MEANS_AT_S), range(seeds))
        for at, after_s in enumerate(MEANS_AT_S):
            plain, corrected = errors([run[at] for run in done], scenario.quality[1])
            left = abs(corrected.mean() / plain.mean()) if abs(plain.mean()) > 0.01 else None
            lines.append(
                f"| {name} | {after_s // 60} min | {plain.mean():+.4f} | {corrected.mean():+.4f} | "
                f"{_rmse(plain):.4f} | {_rmse(corrected):.4f} | "
                f"{'' if left is None else f'{left:.3f}'} |"
            )
    return lines


def policies_table(pool: Any, seeds: int) -> list[str]:
    """Return what Thompson sampling and the guard do with the same labels."""
    lines = [
        "| arms | correction | slow arm's traffic, 30 min | 60 min | routes with a rollback |",
        "|---|---|---|---|---|",
    ]
    for name, scenario in POLICIES.items():
        for said, correction in (("no", {}), ("yes", CORRECTED)):
            done = pool.map(partial(looks, scenario, correction, POLICY_AT_S), range(seeds))
            shares = [np.mean([run[at].served_slow for run in done]) for at in range(2)]
            rolled = sum(run[-1].rollbacks > 0 for run in done)
            lines.append(
                f"| {name} | {said} | {shares[0]:.3f} | {shares[1]:.3f} | {rolled} of {seeds} |"
            )
    return lines


def _rmse(error: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(error**2)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    options = parser.parse_args()
    began = time.monotonic()
    with Pool(options.processes) as pool:
        tables = []
        for table in (means_table, policies_table):
            tables.append(table(pool, options.seeds))
            print("\n".join(tables[-1]), f"\n({time.monotonic() - began:.0f} s)\n", flush=True)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN, 1)
        body = "\n\n".join("\n".join(lines) for lines in tables)
        PAGE.write_text(f"{head}{BEGIN}\n{body}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")
        print(f"wrote {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
