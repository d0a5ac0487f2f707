"""``python -m bench.policies``: what one call of each policy costs, in microseconds."""

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from policies.registry import POLICIES, make_policy
from policies.statistics import ArmStats, LinearStats, TimeBuckets

BUCKETS = 120
WIDTH_MS = 10_000
FEATURES = 8
CONTEXTS = 32


def linear(count: NDArray[np.float64], total: NDArray[np.float64]) -> LinearStats:
    """Sums of labels with independent features of variance 1 beside a constant 1."""
    rng = np.random.default_rng(1)
    recent = rng.normal(size=(CONTEXTS, FEATURES))
    recent[:, 0] = 1.0
    moment = 0.1 * np.sqrt(count)[:, None] * rng.normal(size=(len(count), FEATURES))
    moment[:, 0] = total
    return LinearStats(gram=count[:, None, None] * np.eye(FEATURES), moment=moment, recent=recent)


def situation(kind: str, n_arms: int) -> ArmStats:
    """Arms that are hard to tell apart, of equal or of very different age, or one clear winner."""
    count = np.full(n_arms, 1000.0) if kind != "ages" else 10.0 ** np.linspace(0, 9, n_arms)
    mean = np.linspace(0.1, 0.9, n_arms) if kind == "apart" else np.linspace(0.49, 0.51, n_arms)
    total = np.round(count * mean)
    share = np.full((BUCKETS, 1), 1.0 / BUCKETS)
    return ArmStats(
        count=count,
        reward_sum=total,
        reward_square_sum=total,
        inverse_propensity_sum=total * n_arms,
        eligible=np.ones(n_arms, dtype=bool),
        champion=0,
        validation_score=mean,
        registered_at_ms=np.arange(n_arms, dtype=np.int64),
        buckets=TimeBuckets(
            width_ms=WIDTH_MS,
            start_ms=np.arange(BUCKETS, dtype=np.int64) * WIDTH_MS,
            count=share * count,
            reward_sum=share * total,
            reward_square_sum=share * total,
        ),
        linear=linear(count, total),
    )


def median_us(policy: str, arms: ArmStats, calls: int) -> float:
    """Median time of one call."""
    chosen, now_ms = make_policy(policy, {}), BUCKETS * WIDTH_MS
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        chosen.propensities(arms, now_ms)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    kinds = ("close", "ages", "apart")
    print(f"median microseconds per call, {options.arms} arms, {FEATURES} features")
    print(f"{'policy':<22}" + "".join(f"{kind:>9}" for kind in kinds))
    for policy in POLICIES:
        costs = [median_us(policy, situation(k, options.arms), options.calls) for k in kinds]
        print(f"{policy:<22}" + "".join(f"{cost:>9.1f}" for cost in costs))


if __name__ == "__main__":
    main()
