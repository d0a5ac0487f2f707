"""LinUCB and linear Thompson sampling: against direct solutions, single pulls and chance."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from leverframe.policies.lin_thompson import LinThompson
from leverframe.policies.lin_ucb import LinUcb
from leverframe.policies.linear_model import predict
from leverframe.policies.registry import make_policy
from leverframe.policies.statistics import ArmStats, LinearStats
from leverframe.schemas.errors import PolicyError

ALL = np.arange(3)


def arms(seed: int, labels: int = 60, d: int = 4, m: int = 5) -> ArmStats:
    """Three arms with rewards that depend on the context, and m recent contexts."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(3, labels, d))
    rewards = (seen @ np.ones((d, 1)))[:, :, 0] * np.array([[0.05], [0.1], [0.08]]) + 0.5
    plain = ArmStats.of([labels] * 3, rewards.sum(axis=1))
    return dataclasses.replace(
        plain,
        linear=LinearStats(
            gram=np.einsum("kni,knj->kij", seen, seen),
            moment=np.einsum("kn,kni->ki", rewards, seen),
            recent=rng.normal(size=(m, d)),
        ),
    )


def on(linear: LinearStats) -> ArmStats:
    """Arms of which only the linear statistics count."""
    k = len(linear.gram)
    return dataclasses.replace(ArmStats.of([1] * k, [0] * k), linear=linear)


def two_arms(recent: NDArray[np.float64]) -> ArmStats:
    """The first arm is better where the feature is 1, the second where it is -1."""
    return on(
        LinearStats(
            gram=np.array([np.eye(2) * 500.0] * 2),
            moment=np.array([[250.0, 100.0], [250.0, -100.0]]),
            recent=recent,
        )
    )


@pytest.mark.parametrize("ridge", [0.1, 1.0, 7.0])
def test_predict_is_the_ridge_regression(ridge: float) -> None:
    """Means and variances are those of a direct solution, arm by arm, context by context."""
    stats = arms(1)
    assert stats.linear is not None
    got = predict(stats, ALL, ridge)
    for k in range(3):
        a = stats.linear.gram[k] + ridge * np.eye(4)
        theta = np.linalg.solve(a, stats.linear.moment[k])
        for row, x in enumerate(stats.linear.recent):
            assert got.mean[row, k] == pytest.approx(x @ theta, rel=1e-10)
            assert got.variance[row, k] == pytest.approx(x @ np.linalg.solve(a, x), rel=1e-10)
    assert got.copies.tolist() == [1.0] * 5


def test_predict_counts_equal_contexts_once() -> None:
    """A route with few distinct contexts costs few computations, and says how often each came."""
    stats = arms(2)
    assert stats.linear is not None
    recent = stats.linear.recent[[0, 1, 0, 0, 1]]
    again = dataclasses.replace(stats, linear=dataclasses.replace(stats.linear, recent=recent))
    got = predict(again, ALL, 1.0)
    assert got.copies.tolist() == [3.0, 2.0]
    expected = predict(stats, ALL, 1.0)
    np.testing.assert_allclose(got.mean, expected.mean[:2], rtol=1e-12)
    np.testing.assert_allclose(got.variance, expected.variance[:2], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e14, 1e17, 1e21])
def test_predict_survives_sums_that_hide_the_ridge(scale: float) -> None:
    """A singular sum of products, so large that the ridge is lost in it, gives finite answers."""
    x = np.array([1.0, 0.3, -0.7])
    linear = LinearStats(
        gram=np.array([scale * np.outer(x, x)] * 2),
        moment=np.array([scale * 0.4 * x, scale * 0.6 * x]),
        recent=np.array([x]),
    )
    got = predict(on(linear), np.arange(2), 1.0)
    assert np.isfinite(got.mean).all()
    assert (got.variance > 0).all()
    assert np.isfinite(got.variance).all()


@pytest.mark.parametrize("policy", [LinUcb(), LinThompson()])
def test_without_contexts_the_feature_is_a_constant(policy: LinUcb | LinThompson) -> None:
    """No linear statistics, or no context yet: as with the one context [1] and sums of counts."""
    plain = ArmStats.of([40, 50, 0], [20, 26, 0])
    constant = LinearStats(
        gram=plain.count[:, None, None], moment=plain.reward_sum[:, None], recent=np.ones((4, 1))
    )
    none_yet = dataclasses.replace(constant, recent=np.zeros((0, 1)))
    expected = policy.propensities(plain, 0)
    for linear in (constant, none_yet):
        got = policy.propensities(dataclasses.replace(plain, linear=linear), 0)
        np.testing.assert_allclose(got, expected, atol=1e-9)


@pytest.mark.parametrize("spread", [1, 100, 4000])
@pytest.mark.parametrize("seed", range(5))
def test_lin_ucb_is_what_single_pulls_come_to(seed: int, spread: int) -> None:
    """At each context, pulling the highest index one by one ends within one pull per arm."""
    stats = arms(seed, labels=30)
    assert stats.linear is not None
    m, policy, total = len(stats.linear.recent), LinUcb(spread=spread), np.zeros(3)
    mean, variance, _ = predict(stats, ALL, policy.ridge)
    for row in range(m):
        pulls = np.zeros(3)
        for _ in range(max(1, spread // m)):
            # Sherman-Morrison: n pulls at x turn x' A^-1 x = s into s / (1 + n s).
            widths = np.sqrt(variance[row] / (1 + pulls * variance[row]))
            pulls[(mean[row] + policy.alpha * widths).argmax()] += 1
        total += pulls / pulls.sum() / m
    got = policy.propensities(stats, 0)
    assert np.abs(got - total).max() <= 3 * m / spread + 1e-9


def test_lin_ucb_gives_a_context_to_its_clear_winner() -> None:
    """One context, one arm out of reach of all others: it gets everything, as in the paper."""
    weights = LinUcb(alpha=0.1, spread=1).propensities(two_arms(np.array([[1.0, 1.0]])), 0)
    assert weights.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("policy", [LinUcb(alpha=0.5), LinThompson()])
def test_weights_follow_the_mix_of_contexts(policy: LinUcb | LinThompson) -> None:
    """Without a single new label, the arm that suits what now comes in gets its share."""
    plus, minus = [1.0, 1.0], [1.0, -1.0]
    for recent, first in (([plus] * 4, 1.0), ([minus] * 4, 0.0), ([plus, plus, plus, minus], 0.75)):
        weights = policy.propensities(two_arms(np.array(recent)), 0)
        assert weights[0] == pytest.approx(first, abs=1e-6)


def test_lin_thompson_agrees_with_chance() -> None:
    """Within 5 standard errors of 500,000 seeded draws of theta (false alarm under 1e-5)."""
    stats = arms(4, labels=20)
    assert stats.linear is not None
    rng, n, v = np.random.default_rng(5), 500_000, 0.3
    inverse = np.linalg.inv(stats.linear.gram + np.eye(4))
    seen = np.zeros(3)
    for x in stats.linear.recent:
        draws = [
            rng.multivariate_normal(inverse[k] @ stats.linear.moment[k], v * v * inverse[k], n) @ x
            for k in range(3)
        ]
        seen += np.bincount(np.argmax(draws, axis=0), minlength=3) / n / len(stats.linear.recent)
    got = LinThompson(v=v).propensities(stats, 0)
    assert (np.abs(got - seen) <= 5 * np.sqrt(seen * (1 - seen) / n) + 1e-6).all()


def test_lin_ucb_defaults_to_the_width_of_the_paper() -> None:
    """1 + sqrt(log(2 / 0.05) / 2)."""
    assert LinUcb().alpha == pytest.approx(1 + math.sqrt(math.log(40) / 2))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("lin_ucb", {"ridge": 0.0}, "ridge must be positive"),
        ("lin_ucb", {"alpha": -1.0}, "alpha must be positive"),
        ("lin_ucb", {"alpha": float("nan")}, "alpha must be positive"),
        ("lin_ucb", {"spread": 0}, "spread must be at least 1"),
        ("lin_thompson", {"ridge": float("inf")}, "ridge must be positive"),
        ("lin_thompson", {"v": 0.0}, "v must be positive"),
    ],
)
def test_wrong_parameters_are_named(name: str, params: dict[str, object], message: str) -> None:
    """The operator reads which policy, which parameter, and why."""
    with pytest.raises(PolicyError) as caught:
        make_policy(name, params)
    assert str(caught.value).startswith(f"{name}: {message}")
