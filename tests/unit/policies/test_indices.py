"""Index policies: against pulling one arm at a time, and their indices against their equations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betainccinv, rel_entr

from leverframe.policies.base import Policy
from leverframe.policies.bayes_ucb import BayesUcb
from leverframe.policies.kl_ucb import KlUcb, divergence
from leverframe.policies.sliding_window_ucb import SlidingWindowUcb
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.ucb import Ucb
from leverframe.policies.water_filling import fill_square_root

Float64 = NDArray[np.float64]
SPREAD = 100


def pull_one_by_one(index: Callable[[Float64, float], Float64], count: Float64) -> Float64:
    """Counts of ``SPREAD`` pulls of the highest index, t as at the end, means held fixed."""
    pulls = np.zeros(len(count))
    for _ in range(SPREAD):
        pulls[np.argmax(index(count + pulls, float(count.sum()) + SPREAD))] += 1
    return pulls


def ucb_index(mean: Float64) -> Callable[[Float64, float], Float64]:
    return lambda count, t: mean + np.sqrt(2.0 * math.log(t) / count)


def bayes_index(mean: Float64) -> Callable[[Float64, float], Float64]:
    return lambda count, t: betainccinv(1 + count * mean, 1 + count * (1 - mean), 1 / t)


def relative_entropy(p: Float64, q: Float64) -> Float64:
    """Of two coins, nats; the textbook's formula, as scipy has it."""
    total: Float64 = rel_entr(p, q) + rel_entr(1 - p, 1 - q)
    return total


def kl_index(mean: Float64) -> Callable[[Float64, float], Float64]:
    """Bisection, on the textbook's formula."""

    def index(count: Float64, t: float) -> Float64:
        low, high = mean.copy(), np.ones(len(mean))
        for _ in range(45):
            q = (low + high) / 2
            inside = count * relative_entropy(mean, q) <= math.log(t)
            low, high = np.where(inside, q, low), np.where(inside, high, q)
        return low

    return index


@pytest.mark.parametrize(
    ("policy", "index"),
    [(Ucb(), ucb_index), (BayesUcb(), bayes_index), (KlUcb(), kl_index)],
    ids=["ucb", "bayes_ucb", "kl_ucb"],
)
@pytest.mark.parametrize("largest", [10, 1000, 100_000])
def test_index_policy_agrees_with_pulling_one_at_a_time(
    policy: Policy,
    index: Callable[[Float64], Callable[[Float64, float], Float64]],
    largest: int,
) -> None:
    """Over the next 100 pulls of K arms, fewer than K pulls go elsewhere."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        k = int(rng.integers(2, 8))
        count = np.floor(largest ** rng.uniform(0.3, 1, k))
        mean = np.clip(0.5 + rng.normal(size=k) / np.sqrt(count), 0.02, 0.9)
        arms = ArmStats.of(count, count * mean)
        expected = pull_one_by_one(index(mean), count)
        elsewhere = np.abs(policy.propensities(arms, 0) * SPREAD - expected).sum() / 2
        assert elsewhere < k


def test_ucb_spread_of_one_pull_is_the_textbook() -> None:
    """With a spread of 1 and unequal indices nearly all weight is on the highest index."""
    arms = ArmStats.of([100, 100, 100], [60, 20, 10])
    assert Ucb(spread=1).propensities(arms, 0).tolist() == [1.0, 0.0, 0.0]


def test_ucb_tries_an_arm_without_labels_first() -> None:
    """Optimism: all of the next pulls, next to arms known well to be worse."""
    assert Ucb().propensities(ArmStats.of([5000, 0], [2500, 0]), 0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.5, 0.97])
@pytest.mark.parametrize("distance", [1e-6, 1e-3, 0.02])
def test_divergence_is_the_textbook_formula(mean: float, distance: float) -> None:
    """Relative entropy of two coins; near 0 it is the squared distance over twice the variance."""
    expected = float(relative_entropy(np.array(mean), np.array(mean + distance)))
    assert divergence(mean, distance) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    if mean > 0 and distance < 1e-5:
        near = distance**2 / (2 * mean * (1 - mean))
        assert divergence(mean, distance) == pytest.approx(near, rel=1e-3)


@pytest.mark.parametrize(
    "mean", [[0.30, 0.35, 0.32], [0.90, 0.92, 0.91], [1e-6, 0.004, 0.0], [0.47, 0.5, 0.49]]
)
def test_kl_ucb_level_solves_its_equation(mean: list[float]) -> None:
    """Every pulled arm ends where count times divergence to the common level is log t."""
    count, means = np.array([50.0, 80.0, 60.0]), np.array(mean)
    shares = KlUcb().propensities(ArmStats.of(count, count * means), 0)
    after = count + shares * SPREAD
    levels = kl_index(means)(after, count.sum() + SPREAD)
    assert (shares > 0).all()
    assert np.ptp(levels) <= 1e-9


def test_bayes_ucb_level_is_a_common_quantile() -> None:
    """Every pulled arm ends at one upper quantile of its posterior."""
    count, mean = np.array([50.0, 80.0, 60.0]), np.array([0.30, 0.35, 0.32])
    shares = BayesUcb().propensities(ArmStats.of(count, count * mean), 0)
    levels = bayes_index(mean)(count + shares * SPREAD, count.sum() + SPREAD)
    assert (shares > 0).all()
    assert np.ptp(levels) <= 1e-4


def test_kl_ucb_shares_equally_among_perfect_arms() -> None:
    """An index of 1 cannot fall: arms that never failed, or were never tried, share."""
    arms = ArmStats.of([10, 1000, 0, 50], [10, 1000, 0, 49])
    assert KlUcb().propensities(arms, 0).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize("n", [1e6, 1e9, 1e12])
def test_fill_keeps_its_precision_at_high_counts(n: float) -> None:
    """With counts of 1e12 the pulls still follow from the differences of the counts."""
    pulls = fill_square_root([0.7, 0.7], [3.0, 3.0], [n, n + 40], 100.0)
    assert pulls == pytest.approx([70.0, 30.0], abs=0.1)


def windowed(counts: list[list[float]], sums: list[list[float]]) -> ArmStats:
    """Two arms, buckets of one second that start at 0, 1, 2, ... seconds."""
    return ArmStats(
        count=np.sum(counts, axis=0),
        reward_sum=np.sum(sums, axis=0),
        reward_square_sum=np.sum(sums, axis=0),
        inverse_propensity_sum=np.zeros(2),
        eligible=np.ones(2, dtype=bool),
        champion=0,
        validation_score=np.full(2, np.nan),
        registered_at_ms=np.arange(2, dtype=np.int64),
        buckets=TimeBuckets(
            width_ms=1000,
            start_ms=np.arange(len(counts), dtype=np.int64) * 1000,
            count=np.array(counts),
            reward_sum=np.array(sums),
            reward_square_sum=np.array(sums),
        ),
    )


def test_sliding_window_ucb_forgets_what_lies_before_the_window() -> None:
    """A winner of the past that fails in the window loses the traffic."""
    arms = windowed([[5000, 5000], [500, 500]], [[5000, 0], [0, 500]])
    policy = SlidingWindowUcb(window_ms=1000)
    assert policy.propensities(arms, 2000).tolist() == [0.0, 1.0]
    assert SlidingWindowUcb(window_ms=2000).propensities(arms, 2000).tolist() == [1.0, 0.0]


def test_sliding_window_ucb_counts_a_bucket_that_reaches_into_the_window() -> None:
    """The oldest bucket counts whole until its end leaves the window."""
    arms = windowed([[900, 900]], [[900, 0]])
    policy = SlidingWindowUcb(window_ms=1000)
    assert policy.propensities(arms, 1999).tolist() == [1.0, 0.0]
    assert policy.propensities(arms, 2000).tolist() == [0.5, 0.5]
