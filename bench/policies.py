"""``python -m bench.policies``: what one call of each policy costs, in microseconds."""

import argparse
import gc
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.base import Policy
from leverframe.policies.registry import POLICIES, make_policy
from leverframe.policies.statistics import ArmStats, LinearStats, TimeBuckets

BUCKETS = 120
WIDTH_MS = 10_000
FEATURES = 8
CONTEXTS = 32
KINDS = ("close", "ages", "apart")
ROUNDS = 10
WARM_UP_CALLS = 5
BUDGET_US = 20  # for 10 arms
QUADRATURE_BUDGET_US = 200
QUADRATURE = ("thompson", "top_two_thompson", "discounted_thompson", "lin_thompson")


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


def samples_us(policy: Policy, arms: ArmStats, calls: int) -> list[float]:
    """Time of each of some calls, after a few that warm the caches."""
    now_ms, times = BUCKETS * WIDTH_MS, []
    for _ in range(WARM_UP_CALLS):
        policy.propensities(arms, now_ms)
    for _ in range(calls):
        start = time.perf_counter_ns()
        policy.propensities(arms, now_ms)
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


def measure_us(n_arms: int, calls: int) -> dict[tuple[str, str], float]:
    """Median of each policy in each situation.

    All take turns, so that a moment in which the machine is busy falls on none alone; the garbage
    collector rests, since a policy leaves no cycles.
    """
    situations = {kind: situation(kind, n_arms) for kind in KINDS}
    chosen = {name: make_policy(name, {}) for name in POLICIES}
    times: dict[tuple[str, str], list[float]] = {(n, k): [] for n in chosen for k in KINDS}
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, kind in times:
                times[name, kind] += samples_us(chosen[name], situations[kind], calls // ROUNDS)
    finally:
        gc.enable()
    return {at: statistics.median(all_times) for at, all_times in times.items()}


def main() -> None:
    """Measure and print; a star marks what costs more than its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--calls", type=int, default=1000)
    options = parser.parse_args()
    medians = measure_us(options.arms, max(ROUNDS, options.calls))
    print(f"median microseconds per call, {options.arms} arms, {FEATURES} features, ", end="")
    print(f"{CONTEXTS} contexts; * over budget")
    print(f"{'policy':<22}" + "".join(f"{kind:>9} " for kind in KINDS) + "   budget")
    for name in POLICIES:
        budget = QUADRATURE_BUDGET_US if name in QUADRATURE else BUDGET_US
        costs = [medians[name, kind] for kind in KINDS]
        cells = "".join(f"{cost:>9.1f}{'*' if cost > budget else ' '}" for cost in costs)
        print(f"{name:<22}{cells}{budget:>9}")


if __name__ == "__main__":
    main()
