"""Policies that choose by chance: epsilon-greedy, Thompson and its kin, EXP3, top-two."""

import math
from typing import Any

import numpy as np
import pytest
from river.bandit import EpsilonGreedy as RiverEpsilonGreedy
from river.bandit import Exp3 as RiverExp3
from river.bandit import ThompsonSampling as RiverThompsonSampling
from river.proba import Beta

from leverframe.policies.discounted_thompson import DiscountedThompson
from leverframe.policies.epsilon_greedy import EpsilonGreedy
from leverframe.policies.exp3 import Exp3
from leverframe.policies.quadrature import best_of_betas
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.thompson import Thompson
from leverframe.policies.top_two_thompson import TopTwoThompson, best_arm, log_mixture_ratio

REWARDS = {"a": [1, 0, 0, 1, 0, 0], "b": [1, 1, 0, 1], "c": [0, 1, 1, 1, 0]}


def arms_of(rewards: dict[str, list[int]]) -> ArmStats:
    return ArmStats.of([len(r) for r in rewards.values()], [sum(r) for r in rewards.values()])


def with_buckets(count: object, total: object, start_ms: list[int]) -> ArmStats:
    """Arms with one-second buckets of the given counts and sums, shape (B, K)."""
    counts, sums = np.array(count, float), np.array(total, float)
    k = counts.shape[1]
    return ArmStats(
        count=counts.sum(axis=0),
        reward_sum=sums.sum(axis=0),
        reward_square_sum=sums.sum(axis=0),
        inverse_propensity_sum=np.zeros(k),
        eligible=np.ones(k, dtype=bool),
        champion=0,
        validation_score=np.full(k, np.nan),
        registered_at_ms=np.arange(k, dtype=np.int64),
        buckets=TimeBuckets(
            width_ms=1000,
            start_ms=np.array(start_ms, dtype=np.int64),
            count=counts,
            reward_sum=sums,
            reward_square_sum=sums,
        ),
    )


def test_epsilon_greedy_agrees_with_river() -> None:
    """20,000 pulls of river's policy, seeded, fall as ours says (5 standard errors)."""
    river: Any = RiverEpsilonGreedy(epsilon=0.3, seed=1)
    for arm, rewards in REWARDS.items():
        for reward in rewards:
            river.update(arm, reward)
    n = 20_000
    pulls = [river.pull(list(REWARDS)) for _ in range(n)]
    ours = EpsilonGreedy(epsilon=0.3).propensities(arms_of(REWARDS), 0)
    for arm, chance in zip(REWARDS, ours, strict=True):
        assert abs(pulls.count(arm) / n - chance) <= 5 * math.sqrt(chance * (1 - chance) / n)


def test_thompson_agrees_with_river() -> None:
    """20,000 pulls of river's policy, seeded, fall as ours says (5 standard errors)."""
    river: Any = RiverThompsonSampling(reward_obj=Beta(), seed=1)
    for arm, rewards in REWARDS.items():
        for reward in rewards:
            river.update(arm, bool(reward))
    n = 20_000
    pulls = [river.pull(list(REWARDS)) for _ in range(n)]
    ours = Thompson().propensities(arms_of(REWARDS), 0)
    for arm, chance in zip(REWARDS, ours, strict=True):
        assert abs(pulls.count(arm) / n - chance) <= 5 * math.sqrt(chance * (1 - chance) / n)


def test_epsilon_greedy_explores_eligible_arms_only() -> None:
    """The exploring share is divided among the arms that may be explored."""
    arms = ArmStats.of([9, 9, 9], [9, 3, 1], eligible=[False, True, True])
    weights = EpsilonGreedy(epsilon=0.2).propensities(arms, 0)
    assert weights == pytest.approx([0.0, 0.9, 0.1], abs=1e-15)


@pytest.mark.parametrize("model", ["beta", "gaussian"])
def test_thompson_models_agree_on_many_labels(model: str) -> None:
    """For rewards of 0 and 1 both posteriors become the same normal."""
    arms = ArmStats.of([40_000, 40_000], [20_000, 20_150])
    z = 150 / math.sqrt(2 * 40_000 * 0.25)
    chance = Thompson(model=model).propensities(arms, 0)[1]  # type: ignore[arg-type]
    assert chance == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2)), abs=1e-3)


def test_thompson_gaussian_is_sharper_for_steady_rewards() -> None:
    """Rewards that hardly vary need fewer labels than a coin's; the Beta cannot know."""
    arms = ArmStats.of([500, 500], [250, 260], reward_square_sum=[125.5, 135.7])
    gaussian = Thompson(model="gaussian").propensities(arms, 0)[1]
    assert gaussian > 0.999
    assert Thompson().propensities(arms, 0)[1] < 0.8


def test_discounted_thompson_counts_a_label_half_after_a_half_life() -> None:
    """The posterior is the Beta of the faded counts, which are fractions."""
    arms = with_buckets([[8, 4], [3, 3]], [[6, 1], [1, 2]], [0, 10_000])
    weights = DiscountedThompson(half_life_ms=10_000).propensities(arms, 11_000)
    total = np.array([6 / 2 + 1, 1 / 2 + 2])
    count = np.array([8 / 2 + 3, 4 / 2 + 3])
    assert weights.tolist() == best_of_betas(1 + total, 1 + count - total).tolist()


def test_discounted_thompson_forgets() -> None:
    """After many half-lives a clear loser is as good as unknown again."""
    arms = with_buckets([[500, 500]], [[100, 400]], [0])
    policy = DiscountedThompson(half_life_ms=60_000)
    assert policy.propensities(arms, 1000)[0] < 1e-6
    assert policy.propensities(arms, 3_600_000)[0] == pytest.approx(0.5, abs=1e-6)


def test_discounted_thompson_counts_age_in_labels() -> None:
    """Silence ages nothing; a label counts half after so many newer ones of the route."""
    arms = with_buckets([[8, 4], [3, 3]], [[6, 1], [1, 2]], [0, 10_000])
    policy = DiscountedThompson(half_life_labels=6)
    weights = policy.propensities(arms, 11_000)
    total = np.array([6 / 2 + 1, 1 / 2 + 2])
    count = np.array([8 / 2 + 3, 4 / 2 + 3])
    assert weights.tolist() == best_of_betas(1 + total, 1 + count - total).tolist()
    assert policy.propensities(arms, 10**12).tolist() == weights.tolist()


def loss_of(policy: Any, seed: int, days: int, labels: int, breaks: int) -> float:
    """Reward given away where labels come once a day, the better arm being another in the end."""
    rng = np.random.default_rng(seed)
    counts, sums, lost = np.zeros((0, 2)), np.zeros((0, 2)), 0.0
    for day in range(days):
        means = np.array([0.9, 0.8] if day < breaks else [0.7, 0.8])
        starts = [86_400_000 * at for at in range(len(counts))]
        now_ms = 86_400_000 * day
        weights = np.array([0.5, 0.5])
        if day:
            weights = policy.propensities(with_buckets(counts, sums, starts), now_ms)
        weights = 0.98 * weights + 0.01
        served = rng.multinomial(labels, weights)
        counts = np.vstack([counts, served])
        sums = np.vstack([sums, rng.binomial(served, means)])
        lost += float(served @ (means.max() - means))
    return lost


def test_discounted_thompson_is_no_worse_than_thompson_with_daily_bursts() -> None:
    """250 labels a day, 20 seeded routes: the same to 1 in 1,000 where nothing changes.

    Where the best arm breaks it loses less, in each of the 20.
    """
    old, new = Thompson(), DiscountedThompson()
    steady = [loss_of(new, s, 40, 250, 99) - loss_of(old, s, 40, 250, 99) for s in range(20)]
    assert np.mean(steady) < 0.001 * 40 * 250
    for seed in range(20):
        assert loss_of(new, seed, 60, 250, 30) < loss_of(old, seed, 60, 250, 30)


def test_exp3_agrees_with_river() -> None:
    """Driven by river's own pulls, both give the same probabilities at every step."""
    river: Any = RiverExp3(gamma=0.2, seed=3)
    names, estimates = ["a", "b", "c"], np.zeros(3)
    rng = np.random.default_rng(4)
    for _ in range(50):
        chosen = names.index(river.pull(names))
        arms = ArmStats.of([1, 1, 1], [0, 0, 0])
        arms.inverse_propensity_sum[:] = estimates
        ours = Exp3(gamma=0.2).propensities(arms, 0)
        theirs = [river._probabilities[name] for name in names]
        assert ours == pytest.approx(theirs, abs=1e-9)
        reward = float(rng.integers(2))
        river.update(names[chosen], reward)
        estimates[chosen] += reward / ours[chosen]


def test_exp3_takes_estimates_of_any_size() -> None:
    """Exponentials of 1e12 do not overflow; what is left is the exploration."""
    arms = ArmStats.of([1, 1], [0, 0])
    arms.inverse_propensity_sum[:] = [1e12, 0.0]
    assert Exp3(gamma=0.1).propensities(arms, 0).tolist() == pytest.approx([0.95, 0.05])


def test_top_two_thompson_agrees_with_its_simulation() -> None:
    """Sampling the best arm, and sampling again until another is best, gives these shares."""
    arms = ArmStats.of([20, 20, 20, 5], [9, 11, 12, 1])
    n = 400_000
    rng = np.random.default_rng(6)
    total = arms.reward_sum[:, None]
    best = rng.beta(1 + total, 1 + arms.count[:, None] - total, (4, n)).argmax(axis=0)
    leaders, others = best[: n // 2], best[n // 2 :]
    played = np.zeros(4)
    for leader in range(4):
        rivals = np.bincount(others[others != leader], minlength=4)
        share = (leaders == leader).mean()
        played += share * (0.6 * np.eye(4)[leader] + 0.4 * rivals / rivals.sum())
    weights = TopTwoThompson(beta=0.6).propensities(arms, 0)
    assert np.abs(weights - played).max() <= 5 * 0.5 / math.sqrt(n / 2)


def test_top_two_thompson_keeps_playing_rivals_of_a_sure_leader() -> None:
    """When one arm is surely best its closest rival gets the rest, until the rule stops."""
    arms = ArmStats.of([300, 300, 300], [180, 120, 60])
    weights = TopTwoThompson(delta=1e-30).propensities(arms, 0)
    assert weights[0] == pytest.approx(0.5, abs=1e-3)
    assert weights[1] > 0.49
    assert TopTwoThompson(delta=0.05).propensities(arms, 0).tolist() == [1.0, 0.0, 0.0]


def test_top_two_thompson_is_steady_where_rivals_are_weighed_otherwise() -> None:
    """Crossing the chance at which rivals are weighed by normal tails moves no weight by 0.02."""
    weights = [
        TopTwoThompson(delta=1e-30).propensities(ArmStats.of([100, 100, 100], [s, 30, 28]), 0)
        for s in (56.0, 56.1, 56.2, 56.3, 56.4, 56.5, 56.6, 56.7, 56.8, 56.9, 57.0)
    ]
    assert np.abs(np.diff(weights, axis=0)).max() < 0.02


@pytest.mark.parametrize(
    ("means", "least_named"), [((0.5, 0.5, 0.51), 0), ((0.3, 0.1, 0.6), 395), ((0.02, 0.0, 0.0), 0)]
)
def test_best_arm_errs_no_more_often_than_delta(means: tuple[float, ...], least_named: int) -> None:
    """Looking again and again, at most 20 % of 400 seeded runs ever name a wrong arm."""
    rng = np.random.default_rng(8)
    wrong = named = 0
    for _ in range(400):
        hits = (rng.uniform(size=(300, 3)) < means).cumsum(axis=0)
        for n in range(2, 301, 3):
            best = best_arm(ArmStats.of([n] * 3, hits[n - 1]), 0.2)
            if best is not None:
                named += 1
                wrong += best != int(np.argmax(means))
                break
    assert wrong <= 0.2 * 400
    assert named >= least_named


def test_best_arm_waits_for_ties_and_for_arms_without_labels() -> None:
    """No arm is named while another is as good or unknown; a lone arm is best."""
    assert best_arm(ArmStats.of([1e6, 1e6, 1e6], [9e5, 9e5, 1e5]), 0.05) is None
    assert best_arm(ArmStats.of([1e6, 0], [9e5, 0]), 0.05) is None
    assert best_arm(ArmStats.of([0, 5], [0, 1], eligible=[True, False]), 0.05) == 0


def test_log_mixture_ratio_is_the_least_over_equal_means() -> None:
    """The evidence is against the pair of equal means that is hardest to refute."""
    n, s, k, t = 40.0, 10.0, 60.0, 36.0
    log_pi = math.log(math.pi)
    m = np.linspace(0.01, 0.99, 9801)
    by_mean = [
        math.lgamma(x + 0.5)
        + math.lgamma(size - x + 0.5)
        - math.lgamma(size + 1)
        - log_pi
        - (x * np.log(m) + (size - x) * np.log1p(-m))
        for size, x in ((n, s), (k, t))
    ]
    least = float(np.sum(by_mean, axis=0).min())
    assert log_mixture_ratio(n, s, k, t) == pytest.approx(least, abs=1e-6)
    assert log_mixture_ratio(k, t, n, s) == -math.inf
