"""Delay correction: ages of predictions, corrected sums, what matures when, and the whole loop."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    MAX_VALUE_BYTES,
    T0,
    label_record,
    learning_runs,
    prediction_record,
    reward_record,
    routes,
    runs,
)

from bench.delay_bias.__main__ import EVENLY, MEANS, UNGUARDED, looks
from leverframe.policies.delay_correction import corrected_sums
from leverframe.schemas.errors import PolicyError
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.step import attribute
from leverframe.streams.health.ages import Ages, bin_start
from leverframe.streams.learning.step import learn

WINDOW_MS = 3_600_000
moments = st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(0, 1)), max_size=60)


@given(moments, st.lists(st.integers(0, 10_000_000), max_size=4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_ages_lose_no_prediction_as_they_widen(
    seen: list[tuple[int, int]], looked: list[int]
) -> None:
    """However often the bins are widened: all predictions are counted, and bins nest."""
    ages, end = Ages(), 5_000_000
    for at, settled in seen:
        ages.add(bin_start(at, end), 1, settled)
    for now in sorted(end + later for later in looked):
        ages.grow_older(now, WINDOW_MS)
        assert all(bin_start(at, now) == at for at in ages.bins)
        assert ages.older + sum(count for count, _ in ages.bins.values()) == len(seen)
        reached = ages.reached(np.array([0.0, 1000.0, 60_000.0, 1e6, 1e9]), now).tolist()
        assert reached == sorted(reached, reverse=True)


@given(moments, st.integers(1, WINDOW_MS))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_ages_know_how_many_reached_an_age_within_a_bin(
    seen: list[tuple[int, int]], age: int
) -> None:
    """Right but for those within a quarter of the age: bins widen with it."""
    now = 5_000_000
    ages = Ages()
    for at, settled in seen:
        ages.add(bin_start(at, now), 1, settled)
    (reached,) = ages.reached(np.array([float(age)]), now)
    slack = 1000 + age / 4
    sure = sum(now - at >= age + slack for at, _ in seen)
    possible = sum(now - at >= age - slack for at, _ in seen)
    assert sure <= reached <= possible
    waiting, oldest = ages.waiting()
    assert waiting == sum(1 - settled for _, settled in seen)
    assert (oldest is None) == (waiting == 0)


def test_correction_changes_nothing_where_all_labels_take_as_long() -> None:
    """One age: the plain sums, to the last digit."""
    changes = np.array([[[40.0, 10.0, 10.0]], [[7.0, 7.0, 7.0]]])
    told = corrected_sums(changes, np.array([[90.0], [7.0]]))
    assert told == pytest.approx(changes[:, 0, :], rel=1e-12)


def test_correction_knows_nothing_of_an_arm_without_labels() -> None:
    """No changes at all: a count of 0, with and without a default."""
    nothing = np.zeros((1, 2, 3))
    assert corrected_sums(nothing, np.array([[5.0, 1.0]])).tolist() == [[0.0, 0.0, 0.0]]
    assert corrected_sums(nothing, np.array([[5.0, 1.0]]), 0.0).tolist() == [[0.0, 0.0, 0.0]]
    assert corrected_sums(np.zeros((2, 0, 3)), np.zeros((2, 0)), 0.5).shape == (2, 3)


def test_correction_takes_revisions_at_their_own_age() -> None:
    """100 defaults of 0 at age 2, of which half of those that reached age 3 became 1."""
    changes = np.array([[[100.0, 0.0, 0.0], [0.0, 20.0, 20.0]]])
    count, total, _ = corrected_sums(changes, np.array([[100.0, 40.0]]), 0.0)[0]
    assert total / count == pytest.approx(0.5)
    assert count == pytest.approx(40.0)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_correction_stays_within_what_a_mean_can_be(seed: int) -> None:
    """Any changes, withdrawals and lost counts included: finite, and a mean in [0, 1]."""
    rng = np.random.default_rng(seed)
    changes = rng.integers(-5, 30, (3, 6, 3)).astype(float)
    reached = -np.sort(-rng.integers(0, 100, (3, 6)).astype(float))
    for default in (None, 0.0, 0.3):
        count, total, squares = corrected_sums(changes, reached, default).T
        assert np.isfinite(count).all()
        assert (count >= 0).all()
        assert ((squares >= 0) & (squares <= total) & (total <= count)).all()


@pytest.mark.parametrize("name", MEANS)
def test_corrected_mean_has_under_a_fifth_of_the_error(name: str) -> None:
    """One seeded route of each kind, after half an hour: the slow arm's mean, by the whole loop.

    The bench compares many routes; in one, sampling alone has a standard error of 0.012 (1,800
    labels at 1/2), so one seed in about ten would miss the fifth.
    """
    scenario, correction = MEANS[name]
    rules: dict[str, Any] = {"policy": EVENLY, "guard": UNGUARDED, **correction}
    (look,) = looks(scenario, rules, [1800], seed=1)
    truth = scenario.quality[1]
    plain, corrected = abs(look.plain[1] - truth), abs(look.corrected[1] - truth)
    if name == "equal delays":
        assert corrected <= plain + 0.002
    else:
        assert plain > 0.08
        assert corrected < plain / 5


def test_guard_sees_each_request_at_one_age_on_a_corrected_route() -> None:
    """A fast label is told again when the request matures, a slow one as soon as it comes."""
    route = routes(window_s=10.0, delay_correction=True, matures_after_s=1.0)
    records = [
        prediction_record("fast"),
        label_record("fast", 1, 100),
        prediction_record("slow", 200),
        label_record("slow", 0, 5000),
    ]
    out = attribute(runs(records, "predictions"), {}, route, max_value_bytes=MAX_VALUE_BYTES)
    rewards = out.rewards + sweep(dict(out.entries), T0 + 6000, route).rewards
    told = {
        name: [
            (r.reward, r.cause, r.attributed_at_ms - T0) for r in rewards if r.request_id == name
        ]
        for name in ("fast", "slow")
    }
    assert told["fast"] == [(1.0, "label", 100), (1.0, "expiry", 1000)]
    assert told["slow"] == [(0.0, "label", 5000), (0.0, "expiry", 5000)]
    assert out.counts["matured", "r", "a"] == 1


def test_learning_keeps_changes_that_add_up() -> None:
    """Over all ages the changes are the arm's sums; routes that do not correct keep none."""
    rewards = [
        reward_record("a", 1.0, 5000, predicted_at_ms=T0, request_id="q"),
        reward_record(
            "a", 0.0, 9000, predicted_at_ms=T0, request_id="q", previous_reward=1.0, revision=1
        ),
        reward_record("a", 0.5, 9000, predicted_at_ms=T0 + 8900),
    ]
    for corrects in (True, False):
        route = routes(delay_correction=corrects)
        batch = learning_runs(rewards)
        arm = learn(batch, {}, route, max_value_bytes=MAX_VALUE_BYTES).states["r"].arms["a"]
        summed = [sum(column) for column in zip(*arm.changes.values(), strict=True)]
        assert summed == ([arm.count, arm.sum_nano, arm.square_nano] if corrects else [])


@pytest.mark.parametrize(
    "rules", [{"default_reward": 0.0, "delay_correction": True}, {}], ids=["default", "plain"]
)
def test_settings_say_where_matures_after_goes(rules: dict[str, Any]) -> None:
    """With a default reward, or without correction, it has no meaning."""
    with pytest.raises(PolicyError, match="matures_after_s"):
        routes(matures_after_s=5.0, **rules)
