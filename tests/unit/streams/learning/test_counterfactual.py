"""Another policy on recorded rewards: its weights, what it knew, and what it would have earned."""

from typing import Any

import msgspec
import numpy as np
import pytest
from measured import measured_record
from records import MAX_VALUE_BYTES, T0, Record, command_record, reward_record, routes

from leverframe.policies.evaluation.logged import EvaluationError, MissingPropensityError
from leverframe.schemas.errors import PolicyError
from leverframe.schemas.measurements import Measured
from leverframe.streams.learning.counterfactual import (
    Answer,
    evaluate_records,
    target_propensities,
)
from leverframe.streams.learning.schedule import Schedule
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import GuardSettings, NamedParams

QUIET: dict[str, Any] = {"guard": GuardSettings(enabled=False), "promote": False}


def bandit_log(seed: int, n: int, means: tuple[float, ...] = (0.4, 0.6)) -> list[Record]:
    """Rewards logged at equal chances, each label 5 ms after its prediction."""
    rng = np.random.default_rng(seed)
    log = []
    for i in range(n):
        arm = int(rng.integers(len(means)))
        reward = float(rng.random() < means[arm])
        log.append(logged_reward(i, "abc"[arm], reward, propensity=1 / len(means)))
    return log


def logged_reward(i: int, arm: str, reward: float | None, at: int = 5, **fields: Any) -> Record:
    served = T0 + 10 * i
    fields = {"request_id": f"q{i}", "predicted_at_ms": served, **fields}
    return reward_record(arm, reward, at=10 * i + at, **fields)


def schedule_of(log: list[Record], asked: NamedParams, **settings: Any) -> Schedule:
    route = routes(**settings).get("r")
    assert route is not None
    return target_propensities(
        log, "r", route, asked, rewards_topic="rewards", max_value_bytes=MAX_VALUE_BYTES
    )


def answer_of(log: list[Record], asked: NamedParams, **settings: Any) -> Answer:
    route = routes(**settings).get("r")
    assert route is not None
    return evaluate_records(
        log, "r", route, asked, rewards_topic="rewards", max_value_bytes=MAX_VALUE_BYTES
    )


def test_target_propensities_are_what_the_job_would_publish() -> None:
    """Asked of the route's own policy, the weights and times are those of the control messages."""
    log = bandit_log(1, 3000)
    published = learn([("rewards", log)], {}, routes(policy="ucb"), max_value_bytes=MAX_VALUE_BYTES)
    schedule = schedule_of(log, NamedParams(name="ucb"), policy="thompson")
    assert schedule.weights == [message.weights for message in published.control]
    assert schedule.times_ms == [message.issued_at_ms for message in published.control]
    assert len(schedule.times_ms) > 5


def test_target_propensities_know_nothing_of_the_future() -> None:
    """Another outcome of a request moves no weight that the request itself could meet."""
    log = bandit_log(2, 1000)
    other = [*log[:500], logged_reward(500, "b", 0.0, propensity=0.5), *log[501:]]
    plain, changed = (schedule_of(x, NamedParams(name="thompson"), **QUIET) for x in (log, other))
    at = plain.before(T0 + 5000)
    assert at == changed.before(T0 + 5000) > 0
    assert plain.weights[: at + 1] == changed.weights[: at + 1]
    assert plain.times_ms[at] < T0 + 5000


def test_commands_about_arms_hold_and_those_about_the_policy_do_not() -> None:
    """A retired arm stays retired; a pin, or another policy set by hand, is left out."""
    log = bandit_log(3, 400, (0.4, 0.6, 0.5))
    pins = [
        command_record("pin", "a", at=1000),
        command_record("set_policy", at=1001, params={"policy": "newest"}),
    ]
    ucb = NamedParams(name="ucb")
    plain = schedule_of(log, ucb, **QUIET)
    assert schedule_of([*log[:100], *pins, *log[100:]], ucb, **QUIET) == plain
    retired = schedule_of([*log[:100], command_record("retire_arm", "c", at=999), *log[100:]], ucb)
    assert plain.weights[-1]["c"] > 0
    assert "c" not in retired.weights[-1]


def test_evaluation_finds_the_better_policy_and_its_worth() -> None:
    """From 50:50 rewards: greedy would have earned nearly the best arm's 0.6, at 95 %."""
    settings = {"floor": 0.02, "nursery_share": 0.02, **QUIET}
    found = answer_of(bandit_log(4, 6000), NamedParams(name="epsilon_greedy"), **settings)
    got = found.evaluation
    # Once both arms are known the worse one gets some 0.07: floor, and half of epsilon.
    assert got.snips.low <= 0.585 <= got.snips.high
    assert got.logged.high < got.snips.low
    assert got.ips_bernstein is not None
    assert got.ips_bernstein.low < got.ips.low
    assert got.dr is None
    assert found.why_no_dr == "100.0% of the requests have no context"
    assert 0 < found.too_early < 5


def test_the_last_word_on_a_request_counts() -> None:
    """Revisions replace, withdrawals leave nothing, records of before count as they were known."""
    log = bandit_log(5, 300)
    revised = logged_reward(
        300, "b", 1.0, propensity=0.5, request_id="q299", revision=1, cause="revision",
        previous_reward=0.0, predicted_at_ms=T0 + 2990,
    )  # fmt: skip
    withdrawn = logged_reward(
        301, "a", None, propensity=0.5, request_id="q298", revision=1, cause="withdrawal",
        previous_reward=0.0, predicted_at_ms=T0 + 2980,
    )  # fmt: skip
    log[298] = logged_reward(298, "a", 0.0, propensity=0.5)
    log[299] = logged_reward(299, "b", 0.0, propensity=0.5)
    before = answer_of(log, NamedParams(name="thompson"))
    after = answer_of([*log, revised, withdrawn], NamedParams(name="thompson"))
    assert after.rewards == before.rewards - 1 == 299
    sums = [a.evaluation.logged.value * a.evaluation.requests for a in (before, after)]
    assert sums[1] - sums[0] == pytest.approx(1.0)


def test_contexts_of_all_requests_give_a_doubly_robust_estimate() -> None:
    """Also on a route that keeps none; contexts of unlike length are said to be so."""
    rng = np.random.default_rng(6)
    log = [
        logged_reward(i, "ab"[i % 2], 0.5, propensity=0.5, context=rng.normal(size=2).tolist())
        for i in range(200)
    ]
    assert answer_of(log, NamedParams(name="thompson"), **QUIET).evaluation.dr is not None
    log[150] = logged_reward(150, "a", 0.5, propensity=0.5, context=[1.0])
    odd = answer_of(log, NamedParams(name="thompson"), **QUIET)
    assert odd.evaluation.dr is None
    assert odd.why_no_dr == "contexts differ in length: 1, 2"


def test_records_without_propensities_are_refused() -> None:
    """As the arrays are; and a policy that nobody knows is named."""
    bare = [logged_reward(i, "ab"[i % 2], 0.5) for i in range(100)]
    with pytest.raises(MissingPropensityError, match=r"100\.0%"):
        answer_of(bare, NamedParams(name="thompson"))
    with pytest.raises(PolicyError, match="unknown policy 'best'"):
        answer_of(bare, NamedParams(name="best"))
    with pytest.raises(EvaluationError, match="no reward"):
        answer_of(bare[:1], NamedParams(name="thompson"))


def test_rewards_of_one_unit_and_period_count_together() -> None:
    """By user; by user and hour where units are drawn anew; a request without one is its own."""
    rng = np.random.default_rng(8)
    log = [
        logged_reward(
            i, "ab"[i % 2], float(rng.random() < 0.5), propensity=0.5,
            unit_id=f"u{i // 8 % 50}" if i % 4 else None,
        )
        for i in range(800)
    ]  # fmt: skip
    asked = NamedParams(name="thompson")
    plain = answer_of(log, asked, **QUIET).evaluation
    assert plain.units < plain.requests
    late = 800 - plain.requests
    assert plain.units == 50 + sum(i % 4 == 0 for i in range(late, 800))
    anew = answer_of(log, asked, reassign_units="4s", **QUIET).evaluation
    assert plain.units < anew.units < plain.requests


LATENCY = MetricSettings(role="signal", range=(0, 1000))
PER_S = MetricSettings(role="guardrail", range=(0, 50), worse="lower")


def measured_log(seed: int, n: int, propensity: float | None = 0.5) -> list[Record]:
    """Rewards at equal chances, and before each what was measured: b takes 300 ms, a 100."""
    rng = np.random.default_rng(seed)
    log = []
    for i, rewarded in enumerate(bandit_log(seed, n)):
        arm = msgspec.json.decode(rewarded.value or b"")["arm"]
        took = float({"a": 100, "b": 300}[arm] + rng.normal(0, 10))
        values = {"latency_ms": took, "per_s": 1000 / took, "undeclared": 1.0}
        served = Measured(arm=arm, at_ms=T0 + 10 * i, values=values, propensity=propensity)
        log += [measured_record([served]), rewarded]
    return log


def test_metrics_are_told_in_their_unit_under_the_policy() -> None:
    """Nine of ten to the quick arm: 120 ms, not 200. One seed of twenty would miss at 95 %."""
    fixed = NamedParams(name="static", params={"weights": {"a": 0.9, "b": 0.1}})
    metrics = {"latency_ms": LATENCY, "per_s": PER_S}
    settings = {**QUIET, "floor": 0.02, "metrics": metrics, "policy": fixed}
    log = measured_log(12, 4000)
    found = {one.name: one for one in answer_of(log, fixed, **settings).metrics}
    assert list(found) == ["latency_ms", "per_s"]
    # Nearly 0.9: the second arm began in the nursery.
    schedule = schedule_of(log, fixed, **settings)
    met = [at for i in range(4000) if (at := schedule.before(T0 + 10 * i)) >= 0]
    share = float(np.mean([schedule.weights[at].get("a", 0.0) for at in met]))
    assert 0.89 < share < 0.91
    mixed = {"latency_ms": 300 - 200 * share, "per_s": 3.34 + 6.76 * share}
    for (name, under), served in zip(mixed.items(), (200, 6.7), strict=True):
        logged, snips = found[name].logged, found[name].snips
        assert logged is not None
        assert snips is not None
        assert logged.value == pytest.approx(served, rel=0.03)
        assert snips.value == pytest.approx(under, rel=0.03)
        assert snips.low < under < snips.high
        assert snips.high - snips.low < 0.2 * under


def test_a_metric_without_propensities_is_refused_alone() -> None:
    """The rewards are estimated all the same; a metric that nobody measured is said to be so."""
    metrics = {"latency_ms": LATENCY, "cost": LATENCY}
    log = measured_log(10, 500, propensity=None)
    answer = answer_of(log, NamedParams(name="thompson"), metrics=metrics, **QUIET)
    latency, cost = answer.metrics
    assert answer.evaluation.requests > 400
    assert (latency.logged, latency.snips) == (None, None)
    assert "100.0%" in latency.refused
    assert cost.refused == "no request measured it after the policy's first weights"
