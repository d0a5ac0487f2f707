"""``python -m bench.regret``: regret beside the Lai-Robbins bound, and recovery after a change.

Six Bernoulli arms, one of them better. Decisions are made for batches of rounds, as in a stream
job: the policy's propensities hold for a whole batch, whose labels then arrive together.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.base import Policy
from leverframe.policies.registry import make_policy
from leverframe.policies.statistics import ArmStats, TimeBuckets

Floats = NDArray[np.float64]

ARMS = 6
ROUND_MS = 100
FULL = Path("experiments/report/regret.json")
QUICK = Path("experiments/report/quick/regret.json")
BUCKET_ROUNDS = 200
BUCKETS = 60
STATIONARY = ("thompson", "kl_ucb", "bayes_ucb", "ucb", "epsilon_greedy", "exp3")
PROMISED = ("thompson", "kl_ucb")
ADAPTIVE = ("discounted_thompson", "sliding_window_ucb")


def bernoulli_kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, nats."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def lai_robbins(means: Floats, rounds: int) -> float:
    """The least regret that a uniformly good policy can have, to first order in log(rounds)."""
    best = float(means.max())
    gaps = [(best - p, bernoulli_kl(p, best)) for p in means.tolist() if p < best]
    return math.fsum(gap / divergence for gap, divergence in gaps) * math.log(rounds)


class Arms:
    """The statistics of one seed's arms, with the same time buckets as a route keeps."""

    def __init__(self) -> None:
        self.count = np.zeros(ARMS)
        self.total = np.zeros(ARMS)
        self.estimate = np.zeros(ARMS)
        self.buckets: dict[int, tuple[Floats, Floats]] = {}

    def stats(self) -> ArmStats:
        """As policies see them."""
        cells = [np.array([cell[i] for cell in self.buckets.values()]) for i in (0, 1)]
        empty = np.zeros((0, ARMS))
        count, total = cells if self.buckets else (empty, empty)
        width_ms = BUCKET_ROUNDS * ROUND_MS
        return ArmStats(
            count=self.count,
            reward_sum=self.total,
            reward_square_sum=self.total,
            inverse_propensity_sum=self.estimate,
            eligible=np.ones(ARMS, dtype=bool),
            champion=0,
            validation_score=np.full(ARMS, np.nan),
            registered_at_ms=np.arange(ARMS, dtype=np.int64),
            buckets=TimeBuckets(
                width_ms=width_ms,
                start_ms=np.array(list(self.buckets), dtype=np.int64) * width_ms,
                count=count,
                reward_sum=total,
                reward_square_sum=total,
            ),
        )

    def add(self, at: int, pulls: Floats, wins: Floats, weights: Floats) -> None:
        """Count a batch that began at round ``at``."""
        self.count = self.count + pulls
        self.total = self.total + wins
        chances = np.where(weights > 0, weights, 1.0)
        self.estimate = self.estimate + wins / chances
        index = at // BUCKET_ROUNDS
        if index not in self.buckets:
            self.buckets[index] = (np.zeros(ARMS), np.zeros(ARMS))
            while len(self.buckets) > BUCKETS:
                del self.buckets[next(iter(self.buckets))]
        known, won = self.buckets[index]
        self.buckets[index] = (known + pulls, won + wins)


def play(
    policy: Policy, means: Callable[[int], Floats], rounds: int, batch: int, seed: int
) -> tuple[float, Floats]:
    """One seed; returns the pseudo-regret and the weights of every batch."""
    rng = np.random.default_rng([seed, 55])
    arms, regret, history = Arms(), 0.0, []
    for at in range(0, rounds, batch):
        weights = policy.propensities(arms.stats(), at * ROUND_MS)
        weights = weights / weights.sum()
        now = means(at)
        pulls = rng.multinomial(batch, weights).astype(np.float64)
        wins = rng.binomial(pulls.astype(np.int64), now).astype(np.float64)
        regret += float(pulls @ (now.max() - now))
        arms.add(at, pulls, wins, weights)
        history.append(weights)
    return regret, np.array(history)


def stationary(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Regret on arms that stay as they are."""
    means = np.array([0.5] * (ARMS - 1) + [0.55])
    bound = lai_robbins(means, options.rounds)
    regrets = [
        play(make_policy(name, {}), lambda _: means, options.rounds, options.batch, seed)[0]
        for seed in range(options.seeds)
    ]
    mean = statistics.fmean(regrets)
    half = 1.96 * statistics.stdev(regrets) / math.sqrt(len(regrets))
    return {"policy": name, "regret": mean, "half_95": half, "bound": bound, "ratio": mean / bound}


def recovery(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Rounds from an abrupt change until the new best arm first has most of the traffic.

    A seed that never gets there counts as infinite, shown as None.
    """
    change = options.rounds // 2
    before, after = np.full(ARMS, 0.5), np.full(ARMS, 0.5)
    before[-1], after[0] = 0.7, 0.7

    def means(at: int) -> Floats:
        return before if at < change else after

    waits, shares = [], []
    for seed in range(options.seeds):
        policy = make_policy(name, {})
        _, weights = play(policy, means, options.rounds, options.batch, seed)
        share = weights[change // options.batch :, 0]
        most = np.flatnonzero(share > 0.5)
        waits.append(float(most[0]) * options.batch if most.size else math.inf)
        shares.append(float(share[: 10_000 // options.batch].mean()))
    waits.sort()
    median, late = statistics.median_low(waits), waits[math.ceil(0.95 * len(waits)) - 1]
    return {
        "policy": name,
        "recovered": sum(map(math.isfinite, waits)) / len(waits),
        "median_rounds": median if math.isfinite(median) else None,
        "p95_rounds": late if math.isfinite(late) else None,
        "share_of_next_10000": statistics.fmean(shares),
    }


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 rounds, 5 seeds")
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seeds = 20_000, 5
    path = options.output or (QUICK if options.quick else FULL)
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    print(f"{options.rounds:,} rounds, {options.seeds} seeds, decisions every {options.batch}")
    print("\nstationary: five arms of 0.50, one of 0.55")
    print(f"{'policy':<22}{'regret':>9}{'+-':>7}{'bound':>8}{'ratio':>7}")
    still = [stationary(name, options) for name in STATIONARY + ADAPTIVE]
    for row in still:
        print("{policy:<22}{regret:>9.0f}{half_95:>7.0f}{bound:>8.0f}{ratio:>7.2f}".format(**row))
    print("\nchange in the middle: the arm of 0.7 falls to 0.5, another rises from 0.5 to 0.7")
    print(f"{'policy':<22}{'recovered':>10}{'median':>9}{'95 %':>9}{'share of next 10,000':>22}")
    moved = [recovery(name, options) for name in ADAPTIVE + STATIONARY]
    for row in moved:
        waits = "".join(
            f"{'-' if row[key] is None else f'{row[key]:,.0f}':>9}"
            for key in ("median_rounds", "p95_rounds")
        )
        print(
            f"{row['policy']:<22}{row['recovered']:>10.0%}{waits}{row['share_of_next_10000']:>22.2f}"
        )
    took_s = time.perf_counter() - started
    settings = {name: getattr(options, name) for name in ("rounds", "seeds", "batch")}
    settings |= {"round_ms": ROUND_MS, "bucket_rounds": BUCKET_ROUNDS, "seconds": round(took_s)}
    answer = {"settings": settings, "stationary": still, "recovery": moved}
    path.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    print(f"\n{took_s:.0f} s; written to {path}")
    missed = [row["policy"] for row in still if row["policy"] in PROMISED and row["ratio"] > 2]
    if missed:
        raise SystemExit(f"more than twice the bound: {', '.join(missed)}")


if __name__ == "__main__":
    main()
