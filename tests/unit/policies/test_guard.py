"""The guard's tests: error over a whole life with peeking, power, drift common to all, verdicts."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.policies.guard.betting import STAKES, log_growth, log_growth_below, log_wealth, wake
from leverframe.policies.guard.evidence import Evidence, observe, restart, restart_level, settle
from leverframe.policies.guard.verdict import arm_alpha, judge

NANO = 10**9
Rate = Callable[[int], float]


class Life:
    """An arm beside its reference, label by label, looked at after each ``every``."""

    def __init__(self, *, alpha: float, margin: float = 0.0, level: float | None = None) -> None:
        self.alpha, self.margin, self.level = alpha, margin, level
        self.evidence = Evidence(reference="reference")
        self.own, self.other = [0, 0], [0, 0]

    def label(self, reward: float, *, is_arm: bool) -> None:
        side = self.own if is_arm else self.other
        side[0] += 1
        side[1] += round(reward * NANO)
        if is_arm:
            observe(self.evidence, (side[0], side[1]), (self.other[0], self.other[1]))

    def verdict(self) -> str:
        own = (self.own[0], self.own[1])
        settle(self.evidence, own, margin=self.margin, level=self.level, alpha=self.alpha)
        return judge(self.evidence, alpha=self.alpha, has_floor=self.level is not None)[0]

    def live(
        self, seed: int, labels: int, arm: Rate, reference: Rate, share: Rate, every: int = 10
    ) -> int | None:
        """Return the label at which the arm was called harmful."""
        uniform = np.random.default_rng(seed).random((labels, 2)).tolist()
        for i, (chance, luck) in enumerate(uniform):
            is_arm = chance < share(i)
            self.label(float(luck < (arm(i) if is_arm else reference(i))), is_arm=is_arm)
            if i % every == 0 and self.verdict() == "harmful":
                return i
        return None


def falling(i: int) -> float:
    """A drift common to all: from 0.95 to 0.5 over 2,000 labels."""
    return 0.95 - 0.45 * min(i, 2000) / 2000


@pytest.mark.parametrize(
    ("rate", "share"),
    [
        (lambda _: 0.06, lambda _: 0.5),
        (lambda _: 0.95, lambda _: 0.1),
        (falling, lambda i: min(0.9, 0.05 + i / 2000)),
    ],
    ids=["rare", "small share", "ramp during a drift"],
)
def test_guard_rarely_accuses_an_equal_arm(rate: Rate, share: Rate) -> None:
    """100 equal pairs, 2,500 labels, a look at every tenth: at alpha 0.05 at most 12 alarms.

    Were the error exactly alpha, more than 12 of 100 would come up once in 600 runs; the seeds are
    fixed. The third case is the hard one: the arm gets its traffic when all arms have become worse.
    """
    alarms = [Life(alpha=0.05).live(seed, 2500, rate, rate, share, every=10) for seed in range(100)]
    assert sum(at is not None for at in alarms) <= 12


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_guard_finds_an_arm_that_breaks_late(share: float) -> None:
    """An arm good for 3,000 labels that breaks is found within 650 more, in each of 20 runs."""
    for seed in range(20):
        at = Life(alpha=0.01 / 6, margin=0.02).live(
            seed, 6000, lambda i: 0.95 if i < 3000 else 0.3, lambda _: 0.9, lambda _: share
        )
        assert at is not None
        assert 3000 < at < 3650


def test_guard_holds_an_arm_to_the_floor() -> None:
    """Below the floor is found soon, at the floor it is not accused: 20 runs each."""
    for seed in range(20):
        low = Life(alpha=0.01, level=0.9)
        at = low.live(seed, 2000, lambda _: 0.75, lambda _: 0.75, lambda _: 0.5)
        assert at is not None
        assert at < 600
        level = Life(alpha=0.01, level=0.9)
        assert level.live(seed, 2000, lambda _: 0.9, lambda _: 0.9, lambda _: 0.5) is None


def test_verdict_passes_from_inconclusive_to_healthy_to_harmful() -> None:
    """A good arm is proved healthy; once it breaks it stops being so before it is harmful."""
    life = Life(alpha=0.01, margin=0.05)
    assert life.verdict() == "inconclusive"
    before, after = [], []
    uniform = np.random.default_rng(1).random((8000, 2)).tolist()
    for i, (chance, luck) in enumerate(uniform):
        is_arm = chance < 0.5
        life.label(float(luck < (0.6 if is_arm and i >= 5000 else 0.9)), is_arm=is_arm)
        (before if i < 5000 else after).append(life.verdict())
        if after and after[-1] == "harmful":
            break
    assert "harmful" not in before
    assert before[-1] == "healthy"
    assert after[-1] == "harmful"
    assert after[-2] == "inconclusive"


def test_long_health_does_not_hide_a_break() -> None:
    """Capital beyond what a verdict needs is given away: long health is no credit."""
    for good in (1000, 10_000):
        life = Life(alpha=0.01, margin=0.1)
        for i in range(2 * good):
            life.label(1.0, is_arm=i % 2 == 0)
        assert life.verdict() == "healthy"
        for i in range(60):
            life.label(float(i % 2), is_arm=i % 2 == 0)
        assert life.verdict() != "healthy"


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 1.0])), max_size=80),
    st.integers(1, 7),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_evidence_needs_labels_of_both_arms(labels: list[tuple[bool, float]], every: int) -> None:
    """As long as one of the two has no label, nothing is bet, whoever looks when."""
    life = Life(alpha=0.01)
    for i, (is_arm, reward) in enumerate(labels):
        life.label(reward, is_arm=is_arm)
        if i % every == 0:
            life.verdict()
        if not (life.own[0] and life.other[0]):
            assert life.evidence.closed == []
            assert life.verdict() == "inconclusive"


@given(st.floats(-1, 1), st.integers(1, 500), st.integers(1, 500), st.floats(0, 0.5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_stake_can_lose_everything(
    difference: float, own: int, other: int, margin: float
) -> None:
    """Wealth stays positive: the growth of every stake is a number."""
    for tolerance in (margin, -margin):
        growth = log_growth(
            np.array([difference]), np.array([float(own)]), np.array([float(other)]), tolerance
        )
        assert growth.shape == (1, len(STAKES))
        assert np.isfinite(growth).all()


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
def test_bets_on_the_floor_are_fair_at_the_floor(level: float) -> None:
    """At a mean of exactly the floor the expected factor of one label is 1, for every stake."""
    one = np.array(1.0)
    won, lost = (np.exp(log_growth_below(one, np.array(x), level)) for x in (0.0, 1.0))
    np.testing.assert_allclose(level * lost + (1 - level) * won, 1.0, rtol=1e-12)


def test_shares_of_all_starts_add_up_to_one() -> None:
    """However often capital is woken, without bets the wealth stays what it was."""
    active, starts = np.full(len(STAKES), -np.inf), np.array(0)
    for _ in range(1000):
        active, starts = wake(active, starts), starts + 1
        assert float(log_wealth(active, starts)) == pytest.approx(0.0, abs=1e-9)


def test_alphas_of_all_arms_stay_within_the_routes() -> None:
    """However many arms are registered, their budgets add up to less than alpha."""
    assert sum(arm_alpha(0.01, n) for n in range(1, 10_000)) < 0.01


def test_starts_go_on_across_a_restart() -> None:
    """A new reference or a release gives fresh evidence, but no fresh error budget."""
    life = Life(alpha=0.01, level=0.5)
    for i in range(400):
        life.label(1.0, is_arm=i % 2 == 0)
        life.verdict()
    evidence = life.evidence
    versus, level = evidence.versus.starts, evidence.level.starts
    assert versus > 3
    restart(evidence, "another", (200, 200 * NANO), (0, 0))
    restart_level(evidence, (200, 200 * NANO))
    assert (evidence.versus.starts, evidence.level.starts) == (versus, level)
    assert life.verdict() == "inconclusive"
