"""Off-policy estimates: against known truths, in the open and in the logs of bandits that learn."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from leverframe.policies.evaluation.estimators import Estimate, Evaluation, estimate
from leverframe.policies.evaluation.intervals import bernstein_half_width, normal_half_width
from leverframe.policies.evaluation.logged import (
    EvaluationError,
    LoggedRewards,
    MissingPropensityError,
    SupportError,
    weigh,
)
from leverframe.schemas.errors import PolicyError

ALPHA = 0.05
NAMES = ("ips", "snips", "dr")
Simulated = tuple[LoggedRewards, float]


def fixed(seed: int, n: int = 500) -> Simulated:
    """A contextual problem; logged by unequal chances, asked of a policy that sees the context."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    means = np.clip(0.5 + 0.2 * x @ np.array([[1.0, -1.0, 0.0], [0.0, 0.5, 0.3]]), 0.0, 1.0)
    chances = np.array([0.2, 0.5, 0.3])
    arm = rng.choice(3, n, p=chances)
    target = np.where(x[:, :1] > 0, [0.7, 0.1, 0.2], [0.1, 0.6, 0.3])
    rewards = (rng.random(n) < means[np.arange(n), arm]).astype(float)
    logged = LoggedRewards(
        arms=("a", "b", "c"),
        reward=rewards,
        arm=arm,
        propensity=chances[arm],
        target=target,
        context=x,
    )
    return logged, float((target * means).sum(axis=1).mean())


def learning(seed: int, n: int = 500) -> Simulated:
    """Logged by a bandit that learns, on a problem that drifts; asked of one that learns too."""
    rng = np.random.default_rng(seed)
    count, total, chance = np.ones(3), np.full(3, 0.5), rng.random((n, 2))
    targets, propensities, arms = np.empty((n, 3)), np.empty(n), np.empty(n, dtype=np.int64)
    rewards, truth = np.empty(n), 0.0
    for t in range(n):
        means = np.array([0.5, 0.3 + 0.4 * t / n, 0.4])
        logging = np.full(3, 0.15)
        logging[(total / count).argmax()] += 0.55
        targets[t] = np.exp(8 * total / count) / np.exp(8 * total / count).sum()
        arm = int(np.searchsorted(logging.cumsum()[:-1], chance[t, 0], side="right"))
        rewards[t] = chance[t, 1] < means[arm]
        arms[t], propensities[t], truth = arm, logging[arm], truth + targets[t] @ means / n
        count[arm] += 1
        total[arm] += rewards[t]
    logged = LoggedRewards(
        arms=("a", "b", "c"),
        reward=rewards,
        arm=arms,
        propensity=propensities,
        target=targets,
        context=rng.normal(size=(n, 2)),
    )
    return logged, truth


RUNS = 400
cases = pytest.mark.parametrize("simulate", [fixed, learning])


def repeated(simulate: Any) -> list[tuple[Evaluation, float]]:
    answers = []
    for seed in range(RUNS):
        logged, truth = simulate(seed)
        answers.append((estimate(logged, alpha=ALPHA, weight_bound=1 / 0.15), truth))
    return answers


@cases
def test_intervals_cover_the_truth(simulate: Any) -> None:
    """Each misses in no more of 400 seeded runs than 5 % would in all but 0.1 % of repetitions."""
    answers = repeated(simulate)
    allowed = binom.ppf(0.999, RUNS, ALPHA)
    for name in (*NAMES, "ips_bernstein"):
        found: list[tuple[Estimate, float]] = [(getattr(e, name), truth) for e, truth in answers]
        misses = sum(not got.low <= truth <= got.high for got, truth in found)
        assert misses <= allowed, name
        if name == "ips_bernstein":
            assert misses == 0


@cases
def test_estimates_are_without_bias(simulate: Any) -> None:
    """The mean error of 400 seeded runs is within 4 standard errors of 0 (false alarm 2e-4)."""
    answers = repeated(simulate)
    for name in NAMES:
        errors = np.array([getattr(e, name).value - truth for e, truth in answers])
        assert abs(errors.mean()) <= 4 * errors.std() / np.sqrt(RUNS), name


def test_doubly_robust_is_sharper_where_the_context_tells() -> None:
    """On the contextual problem its variance, and its interval, are clearly below those of IPS."""
    answers = repeated(fixed)
    errors = {n: np.array([getattr(e, n).value - truth for e, truth in answers]) for n in NAMES}
    assert errors["dr"].var() < 0.6 * errors["ips"].var()  # seen: 0.53
    assert errors["dr"].var() < errors["snips"].var()
    widths = {
        n: np.mean([getattr(e, n).high - getattr(e, n).low for e, _ in answers]) for n in NAMES
    }
    assert widths["dr"] < widths["snips"] < widths["ips"]


def test_the_policy_that_logged_is_what_was_logged() -> None:
    """Asked of the policy in force, all weights are 1 and all estimates are the logged mean."""
    logged, _ = fixed(1)
    target = np.tile([0.2, 0.5, 0.3], (500, 1))
    found = estimate(_with(logged, target=target, context=None), weight_bound=5.0)
    mean = float(logged.reward.mean())
    assert found.logged.value == mean
    assert found.ips.value == pytest.approx(mean)
    assert found.snips.value == pytest.approx(mean)
    assert found.snips.low == pytest.approx(found.logged.low)
    assert found.dr is None
    assert found.effective == pytest.approx(500)


def test_equal_rewards_leave_self_normalising_little_doubt() -> None:
    """If everything earned 0.4 so may anything else; what was not seen leaves some 4 / n."""
    logged, _ = fixed(2)
    found = estimate(_with(logged, reward=np.full(500, 0.4)))
    assert found.snips.value == pytest.approx(0.4)
    assert 2 < (found.snips.high - found.snips.low) * found.effective < 6
    assert found.ips.high - found.ips.low > 2 * (found.snips.high - found.snips.low)


def test_requests_of_one_unit_count_together() -> None:
    """Everybody logged ten times over: named, the same answer; unnamed, one that is too sure.

    Ten copies of a log say as much as the log itself.
    """
    logged, _ = fixed(7)
    fields = ("reward", "arm", "propensity", "target")
    ten = _with(
        logged,
        **{name: np.repeat(getattr(logged, name), 10, axis=0) for name in fields},
        context=None,
        unit=np.repeat(np.arange(500), 10),
    )
    once, named = estimate(_with(logged, context=None)), estimate(ten, weight_bound=5.0)
    unnamed = estimate(_with(ten, unit=None), weight_bound=5.0)
    assert (named.requests, named.units, unnamed.units) == (5000, 500, 5000)
    assert named.effective == pytest.approx(once.effective)
    for name in ("ips", "snips", "logged"):
        alone, together, sure = (getattr(e, name) for e in (once, named, unnamed))
        assert together.value == pytest.approx(alone.value)
        assert together.low == pytest.approx(alone.low)
        assert together.high == pytest.approx(alone.high)
        assert sure.high - sure.low < 0.4 * (alone.high - alone.low)
    assert named.ips_bernstein is None
    assert unnamed.ips_bernstein is not None


def test_few_units_are_refused_with_the_share_of_the_largest() -> None:
    """A thousand requests of 20 users are 20 draws; the message says what to wait for."""
    logged, _ = fixed(8)
    with pytest.raises(SupportError, match=r"of 20 units are worth .* one unit alone has \d+%"):
        weigh(_with(logged, unit=np.arange(500) % 20))


def test_every_refusal_says_what_to_do_next() -> None:
    """No number without a next step, and no warning of numpy's beside it."""
    logged, _ = fixed(9)
    four = _with(logged, arms=("a", "b", "c", "new"), target=_target(0.2, 0.2, 0.2, 0.4))
    rare = np.where(np.arange(500) % 50 == 0, 2, 1)
    chances = np.where(rare == 2, 0.02, 0.98)
    for refused, next_step in (
        (_with(logged, reward=np.zeros(0)), "`leverframe status`"),
        (_with(logged, propensity=np.full(500, np.nan)), "send `propensity`"),
        (_with(logged, propensity=np.full(500, 5e-324)), "send with each prediction"),
        (four, "let them have traffic"),
        (_with(logged, arm=np.full(500, 1), target=_target(0, 0, 0)), "ask for one"),
        (_with(logged, arm=rare, propensity=chances, target=_target(0, 0, 1)), "wait for some"),
        (_with(logged, unit=np.zeros(500, dtype=np.int64)), "`reassign_units`"),
    ):
        with pytest.raises(EvaluationError, match=next_step):
            estimate(refused)


def _with(logged: LoggedRewards, **changes: Any) -> LoggedRewards:
    fields = ("arms", "reward", "arm", "propensity", "target", "context")
    return LoggedRewards(**{name: getattr(logged, name) for name in fields} | changes)


@pytest.mark.parametrize("n", [1, 20, 500, 20_000])
def test_bernstein_interval_is_wider_than_the_normal_one(n: int) -> None:
    """It pays for holding at any size, and shrinks like it: 2.5 times as wide at most at 20,000."""
    scores = 4.0 * (np.random.default_rng(n).random(n) < 0.1).astype(np.float64)
    wide, narrow = bernstein_half_width(scores, 4.0, 0.05), normal_half_width(scores, 0.05)
    if n > 1:
        assert wide > narrow
    if n == 20_000:
        assert wide < 2.5 * narrow


def test_a_bound_that_was_exceeded_is_not_used() -> None:
    """No bound, or one below the largest weight: no interval that rests on it."""
    logged, _ = fixed(3)
    assert estimate(logged).ips_bernstein is None
    assert estimate(logged, weight_bound=2.0).ips_bernstein is None
    assert estimate(logged, weight_bound=5.0).ips_bernstein is not None
    with pytest.raises(PolicyError, match="alpha must lie"):
        estimate(logged, alpha=1.0)


def test_missing_propensities_are_refused_with_their_share() -> None:
    """Above 1 %; below, those requests are left out and counted."""
    logged, _ = fixed(4)
    few, many = logged.propensity.copy(), logged.propensity.copy()
    few[:5], many[:175] = np.nan, np.nan
    with pytest.raises(MissingPropensityError, match=r"35\.0% of 500 rewards have no propensity"):
        weigh(_with(logged, propensity=many))
    with pytest.raises(MissingPropensityError, match=r"100\.0%"):
        weigh(_with(logged, propensity=np.full(500, np.nan)))
    assert weigh(_with(logged, propensity=few)).left_out == 5
    assert estimate(_with(logged, propensity=few)).requests == 495


def _target(*shares: float) -> NDArray[np.float64]:
    return np.tile(shares, (500, 1))


def test_lacking_support_is_refused() -> None:
    """Arms never logged, arms absent when wanted, wrong propensities, too few that count."""
    logged, _ = fixed(5)
    four = _with(logged, arms=("a", "b", "c", "new"), target=_target(0.2, 0.2, 0.2, 0.4))
    with pytest.raises(SupportError, match=r"40\.0% of its weight to arms without .*: new"):
        weigh(four)
    with pytest.raises(SupportError, match=r"average 1\.9.* and not 1"):
        weigh(_with(logged, propensity=logged.propensity / 2))
    absent = _with(
        logged, arm=np.where(np.arange(500) < 250, logged.arm, 1), target=_target(1, 0, 0)
    )
    with pytest.raises(SupportError, match="at times when they were not served"):
        weigh(absent)
    rare = np.where(np.arange(500) % 50 == 0, 2, 1)
    with pytest.raises(SupportError, match=r"worth 10\.0 for this policy, at least 30"):
        weigh(
            _with(
                logged,
                arm=rare,
                propensity=np.where(rare == 2, 0.02, 0.98),
                target=_target(0, 0, 1),
            )
        )
    nothing = _with(logged, arm=np.full(500, 1), target=_target(0, 0, 0))
    with pytest.raises(SupportError, match="none of the arms"):
        weigh(nothing)


def test_no_reward_is_refused() -> None:
    """An empty log says nothing, and every refusal ends the command with 1."""
    logged, _ = fixed(6)
    with pytest.raises(EvaluationError, match="no reward") as caught:
        weigh(_with(logged, reward=np.zeros(0)))
    assert caught.value.exit_code == 1
