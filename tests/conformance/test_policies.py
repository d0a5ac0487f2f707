"""Every registered policy, whatever it does inside, keeps these promises."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from leverframe.policies import registry
from leverframe.policies.base import Policy
from leverframe.policies.registry import POLICIES, make_policy
from leverframe.policies.statistics import ArmStats, LinearStats, PairStats, TimeBuckets
from leverframe.schemas.errors import PolicyError

NOW_MS = 1_000_000
WIDTH_MS = 10_000
every_policy = pytest.mark.parametrize(
    "policy", [kind() for kind in POLICIES.values()], ids=POLICIES
)
UNLIKE = [[1.0, 0.3, -2.0], [1.0, 1.7, 0.1], [1.0, -0.6, 0.9], [1.0, 0.0, 0.4]]
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def stats(
    count: list[float],
    mean: list[float],
    *,
    eligible: list[bool] | None = None,
    champion: int = 0,
    scores: list[float] | None = None,
    registered: list[int] | None = None,
    n_buckets: int = 3,
    linear: LinearStats | None = None,
    pairs: PairStats | None = None,
    held_out: list[float] | None = None,
    prior: list[list[float]] | None = None,
) -> ArmStats:
    """Arms whose labels, and prior, lie evenly in the last ``n_buckets`` buckets."""
    k = len(count)
    counts, sums = np.array(count), np.array(count) * np.array(mean)
    squares = sums * np.array(mean)
    known = None if prior is None else np.array(prior)
    if known is not None:
        counts = counts + known.sum(axis=1)
        sums, squares = sums + known[:, 0], squares + known[:, 0]
    part = np.full((n_buckets, 1), 1.0 / max(1, n_buckets))
    start_ms = NOW_MS - WIDTH_MS * np.arange(n_buckets, 0, -1, dtype=np.int64)
    return ArmStats(
        count=counts,
        reward_sum=sums,
        reward_square_sum=squares,
        inverse_propensity_sum=sums * k,
        eligible=np.array([True] * k if eligible is None else eligible),
        champion=champion,
        validation_score=np.array([np.nan] * k if scores is None else scores),
        registered_at_ms=np.array(range(k) if registered is None else registered, dtype=np.int64),
        buckets=TimeBuckets(
            width_ms=WIDTH_MS,
            start_ms=start_ms,
            count=part * counts,
            reward_sum=part * sums,
            reward_square_sum=part * squares,
        ),
        linear=linear,
        pairs=pairs,
        validation_count=None if held_out is None else np.array(held_out),
        prior=known,
    )


def linear_stats(
    count: list[float], mean: list[float], seen: list[list[float]], recent: list[list[float]]
) -> LinearStats:
    """Labels that lie evenly on the contexts ``seen``, each with its arm's mean reward."""
    contexts = np.array(seen)
    labels = np.array(count) / len(contexts)
    return LinearStats(
        gram=labels[:, None, None] * (contexts.T @ contexts),
        moment=(labels * np.array(mean))[:, None] * contexts.sum(axis=0),
        recent=np.array(recent).reshape(-1, contexts.shape[1]),
    )


@st.composite
def linear_states(draw: st.DrawFn, count: list[float], mean: list[float]) -> LinearStats:
    """Contexts with and without a direction, equal, zero, at the limits, or none yet."""
    d = draw(st.integers(1, 5))
    feature = st.sampled_from([0.0, 1.0, 1.0, -1.0, 1000.0, -1000.0, 1e-6]) | st.floats(-3, 3)
    row = st.lists(feature, min_size=d, max_size=d)
    seen = draw(st.lists(row, min_size=1, max_size=6))
    recent = draw(st.lists(st.sampled_from(seen) | row, max_size=6))
    linear = linear_stats(count, mean, seen, recent)
    tilted = draw(st.booleans())  # rewards that go with a feature, differently for each arm
    slope = linear.gram[:, :, 0] * (np.arange(len(count))[:, None] / 10) if tilted else 0.0
    return dataclasses.replace(linear, moment=linear.moment + slope)


@st.composite
def pair_states(draw: st.DrawFn, k: int) -> PairStats:
    """Blocks of rows that some pairs have, and others not; differences near and far."""
    depth = draw(st.integers(0, 3))
    shape = (depth, k, k)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = rng.integers(0, draw(st.sampled_from([1, 2, 33])), shape).astype(np.float64)
    mean = rng.choice([0.0, 0.01, -0.3, 1.0], shape)
    upper = np.triu(np.ones((k, k)), 1)
    rows, total = rows * upper, rows * mean * upper
    square = np.abs(total)
    flip = (0, 2, 1)
    return PairStats(
        rows=rows + rows.transpose(flip),
        difference_sum=total - total.transpose(flip),
        difference_square_sum=square + square.transpose(flip),
    )


@st.composite
def states(draw: st.DrawFn) -> ArmStats:
    """One to eight arms, young and old, near and far, some of them out of service."""
    k = draw(st.integers(1, 8))
    sizes = st.sampled_from([0, 1, 2, 7, 100, 999, 1000, 54_321, 10**6, 10**9])
    means = st.sampled_from([0.0, 1.0, 0.5, 0.5001, 0.3, 1e-9, 1 - 1e-9]) | st.floats(0, 1)
    scores = st.just(float("nan")) | st.floats(-1, 1)
    rows = st.sampled_from([float("nan"), 1.0, 30.0, 1e9])
    priors = st.sampled_from([[0.0, 0.0], [90.0, 10.0], [0.0, 100.0], [0.5, 0.25]])
    eligible = draw(st.lists(st.booleans(), min_size=k, max_size=k).filter(any))
    count = [float(n) for n in draw(st.lists(sizes, min_size=k, max_size=k))]
    mean = draw(st.lists(means, min_size=k, max_size=k))
    return stats(
        count,
        mean,
        eligible=eligible,
        champion=draw(st.integers(-1, k - 1)),
        scores=draw(st.lists(scores, min_size=k, max_size=k)),
        registered=draw(st.permutations(range(k))),
        n_buckets=draw(st.integers(0, 3)) if draw(st.booleans()) else 3,
        linear=draw(st.none() | linear_states(count, mean)),
        pairs=draw(st.none() | pair_states(k)),
        held_out=draw(st.none() | st.lists(rows, min_size=k, max_size=k)),
        prior=draw(st.none() | st.lists(priors, min_size=k, max_size=k)),
    )


def permuted(arms: ArmStats, order: NDArray[np.intp]) -> ArmStats:
    """The same arms in another order."""
    fields = {
        field.name: getattr(arms, field.name)[order]
        for field in dataclasses.fields(arms)
        if field.name not in ("champion", "buckets", "linear", "pairs", "names")
        and getattr(arms, field.name) is not None
    }
    buckets = {
        name: getattr(arms.buckets, name)[:, order]
        for name in ("count", "reward_sum", "reward_square_sum")
    }
    champion = -1 if arms.champion < 0 else int(np.flatnonzero(order == arms.champion)[0])
    linear = arms.linear and dataclasses.replace(
        arms.linear, gram=arms.linear.gram[order], moment=arms.linear.moment[order]
    )
    pairs = arms.pairs and PairStats(
        **{
            field.name: getattr(arms.pairs, field.name)[:, order][:, :, order]
            for field in dataclasses.fields(PairStats)
        }
    )
    return ArmStats(
        **fields,
        names=tuple(arms.names[at] for at in order) if arms.names else (),
        champion=champion,
        buckets=dataclasses.replace(arms.buckets, **buckets),
        linear=linear,
        pairs=pairs,
    )


def bits(value: Any) -> bytes:
    """Everything that statistics hold."""
    if not dataclasses.is_dataclass(value):
        return b"" if value is None else np.array(value).tobytes()
    return b"|".join(bits(getattr(value, field.name)) for field in dataclasses.fields(value))


def check(weights: NDArray[np.float64], arms: ArmStats) -> None:
    """What makes an array the propensities of these arms."""
    assert weights.shape == (arms.n_arms,)
    assert weights.dtype == np.float64
    assert abs(weights.sum() - 1.0) <= 1e-12
    assert (weights >= 0).all()
    assert (weights[~arms.eligible] == 0).all()


@every_policy
@quick
@given(arms=states())
def test_policy_gives_propensities_for_any_state(policy: Policy, arms: ArmStats) -> None:
    """They are not negative, sum to 1 within 1e-12, and are exactly 0 for ineligible arms."""
    check(policy.propensities(arms, NOW_MS), arms)


@every_policy
@quick
@given(arms=states(), data=st.data())
def test_policy_ignores_the_order_of_arms(
    policy: Policy, arms: ArmStats, data: st.DataObject
) -> None:
    """Permuting the arms permutes the propensities, within 1e-9."""
    order = np.array(data.draw(st.permutations(range(arms.n_arms))), dtype=np.intp)
    expected = policy.propensities(arms, NOW_MS)[order]
    got = policy.propensities(permuted(arms, order), NOW_MS)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@every_policy
@quick
@given(arms=states())
def test_policy_is_pure(policy: Policy, arms: ArmStats) -> None:
    """The same state gives the same bits, from a second instance too, and is left as it was."""
    before = bits(arms)
    first = policy.propensities(arms, NOW_MS)
    again = type(policy)().propensities(arms, NOW_MS)
    assert first.tobytes() == again.tobytes()
    assert bits(arms) == before


@every_policy
@pytest.mark.parametrize("count", [0.0, 1.0, 5000.0, 1e9])
def test_policy_gives_a_lone_arm_everything(policy: Policy, count: float) -> None:
    """With one arm, and with one eligible arm, there is no choice."""
    assert policy.propensities(stats([count], [0.4]), NOW_MS).tolist() == [1.0]
    arms = stats([count] * 3, [0.4, 0.9, 0.5], eligible=[True, False, False])
    assert policy.propensities(arms, NOW_MS).tolist() == [1.0, 0.0, 0.0]


@every_policy
@pytest.mark.parametrize("seen", [None, UNLIKE], ids=["plain", "contexts"])
@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [0.0, 1.0, 1000.0, 1e9])
def test_policy_treats_equal_arms_equally(
    policy: Policy, count: float, mean: float, seen: list[list[float]] | None
) -> None:
    """Arms with one history share equally, bit for bit, unless it goes by age or champion."""
    linear = seen and linear_stats([count] * 4, [mean] * 4, seen, seen)
    arms = stats([count] * 4, [mean] * 4, linear=linear or None)
    weights = policy.propensities(arms, NOW_MS)
    check(weights, arms)
    one_hot = np.count_nonzero(weights) == 1
    assert one_hot == (policy.name in ("newest", "validation") or is_settled(policy, count))
    if not one_hot:
        assert len(set(weights.tolist())) == 1


def is_settled(policy: Policy, count: float) -> bool:
    """An experiment without a winner keeps the champion."""
    return policy.name == "ab_test" and count >= 1000


@every_policy
@pytest.mark.parametrize("seen", [None, UNLIKE], ids=["plain", "contexts"])
@pytest.mark.parametrize("low", [0.0, 0.4])
@pytest.mark.parametrize("count", [1e5, 1e9])
def test_learning_policy_prefers_a_clear_winner(
    policy: Policy, count: float, low: float, seen: list[list[float]] | None
) -> None:
    """Where one arm is far ahead on many labels, no policy that reads labels favours another."""
    linear = seen and linear_stats([count] * 3, [low, 1.0, low], seen, seen)
    arms = stats([count] * 3, [low, 1.0, low], champion=0, linear=linear or None)
    weights = policy.propensities(arms, NOW_MS)
    check(weights, arms)
    if policy.name not in ("newest", "validation") and not getattr(policy, "is_by_hand", False):
        assert weights[1] >= 0.5 - 1e-9
        assert weights[1] == weights.max()


@every_policy
def test_policy_refuses_a_route_without_an_eligible_arm(policy: Policy) -> None:
    """It says so; it does not invent an arm."""
    with pytest.raises(PolicyError, match="eligible"):
        policy.propensities(stats([1.0, 1.0], [0.5, 0.5], eligible=[False, False]), NOW_MS)


@every_policy
def test_policy_takes_a_hundred_arms(policy: Policy) -> None:
    """As many as a route may hold by default, with ages from 1 to 1e9 labels."""
    count = [float(10 ** (i % 10)) for i in range(100)]
    arms = stats(count, [0.5 + 0.001 * (i % 7) for i in range(100)])
    check(policy.propensities(arms, NOW_MS), arms)


@every_policy
def test_policy_survives_counts_beyond_precision(policy: Policy) -> None:
    """Where one more label no longer changes a count, weights are still weights."""
    for count in (1e13, 1e16):
        arms = stats([count] * 3, [0.3, 0.3, 0.7])
        check(policy.propensities(arms, NOW_MS), arms)


@pytest.mark.parametrize("name", POLICIES)
def test_policy_is_a_frozen_value(name: str) -> None:
    """A policy is registered under its name, immutable, equal by value, built by keywords only."""
    kind: Any = POLICIES[name]
    assert kind.name == name
    assert make_policy(name, {}) == kind()
    assert hash(kind()) == hash(kind())
    assert not hasattr(kind(), "__dict__")
    assert isinstance(kind(), Policy)
    assert all(field.kw_only for field in dataclasses.fields(kind))
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        kind().name = "other"


def test_every_policy_file_is_registered() -> None:
    """A class with ``propensities`` in the package, other than the protocol, is in POLICIES."""
    folder = Path(registry.__file__).parent
    found = {
        (path.stem, node.name)
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and path.stem != "base"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "propensities"
    }
    registered = {(kind.__module__.rpartition(".")[2], kind.__name__) for kind in POLICIES.values()}
    assert found == registered
    assert {kind.name for kind in POLICIES.values()} == {stem for stem, _ in found}
