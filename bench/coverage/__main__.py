"""``python -m bench.coverage``: how often evaluation's intervals hold the truth, and their widths.

Beside the plain normal intervals that ignore units. A table in Markdown goes to stdout.
"""

import argparse
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.coverage.simulation import SCENES, Drawn
from leverframe.policies.evaluation.estimators import Estimate, estimate
from leverframe.policies.evaluation.intervals import normal_half_width
from leverframe.policies.evaluation.logged import SupportError
from leverframe.policies.evaluation.regression import cross_fitted

ALPHA: Final = 0.05
NAMES: Final = ("ips", "snips", "dr", "logged")


def normal_interval(drawn: Drawn, name: str) -> tuple[float, float]:
    """Return the plain normal interval, cut to [0, 1], for which all requests are independent."""
    logged = drawn.logged
    row = np.arange(len(logged.reward))
    weight = logged.target[row, logged.arm] / logged.propensity
    scores = weight * logged.reward
    value = float(scores.mean())
    if name == "snips":
        value = float(scores.sum() / weight.sum())
        scores = weight * (logged.reward - value) / weight.mean()
    if name == "logged":
        scores, value = logged.reward, float(logged.reward.mean())
    if name == "dr":
        expected = cross_fitted(logged)
        errors = weight * (logged.reward - expected[row, logged.arm])
        scores = (logged.target * expected).sum(axis=1) + errors
        value = float(scores.mean())
    half = normal_half_width(scores, ALPHA)
    return min(1.0, max(0.0, value - half)), min(1.0, max(0.0, value + half))


def measured(scene: str, runs: int, seed: int) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Return for each estimator, shape (runs, 4): hit and width, then those of the normal one.

    Also how many logs were refused.
    """
    found: dict[str, list[tuple[float, ...]]] = {}
    refused = 0
    for run in range(runs):
        drawn = SCENES[scene](np.random.default_rng([seed, run]))
        try:
            answer = estimate(drawn.logged, alpha=ALPHA)
        except SupportError:
            refused += 1
            continue
        for name in NAMES:
            got: Estimate | None = getattr(answer, name)
            if got is not None:
                low, high = normal_interval(drawn, name)
                row = (
                    float(got.low <= drawn.truth <= got.high),
                    got.high - got.low,
                    float(low <= drawn.truth <= high),
                    high - low,
                )
                found.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}, refused


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="logs of each scene")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--only", default="", help="scenes whose name contains this")
    options = parser.parse_args()
    print("| log | estimator | covers | median width | plain normal covers | its width | refused |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for scene in SCENES:
        if options.only not in scene:
            continue
        found, refused = measured(scene, options.runs, options.seed)
        for name, rows in found.items():
            hits, widths, plain_hits, plain_widths = rows.T
            print(
                f"| {scene} | {name} | {hits.mean():.1%} | {np.median(widths):.4f} | "
                f"{plain_hits.mean():.1%} | {np.median(plain_widths):.4f} | {refused} |",
                flush=True,
            )
        if not found:
            print(f"| {scene} | | | | | | {refused} |", flush=True)


if __name__ == "__main__":
    main()
