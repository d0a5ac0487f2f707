"""What is known of an arm before its first label: policies count it, nothing else does."""

from typing import Any

import msgspec
import numpy as np
import pytest
from records import MAX_VALUE_BYTES, Record, command_record, learning_runs, reward_record, routes

from leverframe.policies.registry import POLICIES
from leverframe.policies.statistics import ArmStats
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.decision import arms_now
from leverframe.streams.learning.outcome import LearningOutcome
from leverframe.streams.learning.restart import carry_over
from leverframe.streams.learning.state import RouteState, decode_route, encode_route, state_digest
from leverframe.streams.learning.statistics import arm_stats
from leverframe.streams.learning.step import learn
from leverframe.streams.learning.warm_start import with_priors
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import NamedParams

BARE = {"nursery_labels": 0, "floor": 0.0, "max_step": 1.0, "bucket_ms": 1000}


def folded(records: list[Record], route: Routes) -> tuple[RouteState, LearningOutcome]:
    outcome = learn(learning_runs(records), {}, route, max_value_bytes=MAX_VALUE_BYTES)
    return decode_route(encode_route(outcome.states["r"])), outcome


def register(arm: str, at: int = 0, **params: Any) -> Record:
    return command_record("register_arm", arm, at, params=params or None)


def seen_by_policies(state: RouteState, route: Routes) -> ArmStats:
    compiled = route.get("r")
    assert compiled is not None
    return with_priors(state, compiled, arm_stats(state, compiled.settings.bucket_ms))


def test_a_prior_keeps_its_mean_within_the_cap() -> None:
    """A hundred labels at most by default, however much was given; less stays as it is."""
    known = routes(**BARE)
    state, _ = folded(
        [register("a", prior=[900.0, 100.0]), register("b", prior=[3, 1]), register("c")], known
    )
    assert [arm.prior for arm in state.arms.values()] == [
        [90 * 10**9, 10 * 10**9],
        [3 * 10**9, 10**9],
        [0, 0],
    ]
    capped, _ = folded([register("a", prior=[900, 100])], routes(**BARE, max_prior_labels=10))
    assert capped.arms["a"].prior == [9 * 10**9, 10**9]
    none, _ = folded([register("a", prior=[900, 100])], routes(**BARE, max_prior_labels=0))
    assert none.arms["a"].prior == [0, 0]


def test_a_score_with_its_count_is_a_prior_in_the_routes_rewards() -> None:
    """The score is a mean reward, mapped to [0, 1] as any; without its count it is none."""
    cost = NamedParams(
        name="cost_matrix",
        params={"costs": {"0": {"0": 0.0, "1": 4.0}, "1": {"0": 1.0, "1": 0.0}}},
    )
    known = routes(**BARE, reward=cost)
    compiled = known.get("r")
    assert compiled is not None
    middle = (compiled.reward_low + compiled.reward_high) / 2
    state, outcome = folded(
        [
            register("a", validation_score=middle, validation_count=40),
            register("b", validation_score=middle),
            register("c", validation_score=compiled.reward_high + 1, validation_count=40),
        ],
        known,
    )
    assert state.arms["a"].prior == [20 * 10**9, 20 * 10**9]
    assert state.arms["a"].validation_count == 40
    assert state.arms["b"].prior == [0, 0]
    assert [letter.reason for letter in outcome.dead_letters] == ["invalid"]
    assert "mean reward" in outcome.dead_letters[0].detail


@pytest.mark.parametrize(
    "params",
    [
        {"prior": [1]},
        {"prior": [1, -1]},
        {"prior": "9,1"},
        {"prior": [True, 1]},
        {"prior": [1e300, 1]},
        {"validation_count": 10},
        {"validation_score": 0.5, "validation_count": 0},
        {"validation_score": 0.5, "validation_count": 1.5},
        {"validation_score": 0.5, "validation_count": 10, "prior": [1, 1]},
    ],
)
def test_what_cannot_be_known_is_refused(params: dict[str, Any]) -> None:
    """With a reason that names the parameter."""
    outcome = learn(
        learning_runs([register("a"), register("b", **params)]),
        {},
        routes(),
        max_value_bytes=MAX_VALUE_BYTES,
    )
    assert list(outcome.states["r"].arms) == ["a"]
    assert [letter.reason for letter in outcome.dead_letters] == ["invalid"]
    assert "params." in outcome.dead_letters[0].detail


def test_no_sum_nor_evidence_of_labels_contains_a_prior() -> None:
    """The same rewards with and without one: the same arms but for the prior, the same verdicts."""
    rewards = [reward_record("ab"[n % 2], float(n % 3 > 0), 10 * n) for n in range(600)]
    known = routes(**BARE, policy=NamedParams(name="newest"))
    plain, _ = folded([register("a"), register("b"), *rewards], known)
    warm, _ = folded([register("a", prior=[1, 99]), register("b", prior=[99, 1]), *rewards], known)
    for arm in warm.arms.values():
        arm.prior = [0, 0]
    assert state_digest(plain) == state_digest(warm)


def test_a_prior_promotes_nobody_and_convicts_nobody() -> None:
    """However strong it is: promotion and rollback stand on labels alone."""
    known = routes(**BARE, policy=NamedParams(name="thompson"), max_prior_labels=10_000)
    state, outcome = folded(
        [
            register("a", prior=[0, 10_000]),
            register("b", prior=[10_000, 0]),
            *(reward_record("ab"[n % 2], 1.0, 10 * n) for n in range(400)),
        ],
        known,
    )
    assert state.champion == "a"
    assert {message.kind for message in outcome.control} == {"routing"}
    assert state.weights["b"] > 0.99


@pytest.mark.parametrize(
    "policy",
    ["thompson", "kl_ucb", "bayes_ucb", "epsilon_greedy", "discounted_thompson", "exp3",
     "sliding_window_ucb", "top_two_thompson", "ucb", "paired_leader", "lin_ucb"],
)  # fmt: skip
def test_policies_begin_with_the_prior(policy: str) -> None:
    """Of arms without labels, the one that is known to be better has most from the first."""
    known = routes(**BARE, policy=NamedParams(name=policy))
    priors = {"a": [20, 80], "b": [80, 20], "c": [20, 80]}
    state, _ = folded([register(arm, prior=prior) for arm, prior in priors.items()], known)
    assert state.weights["b"] > max(state.weights.get(arm, 0.0) for arm in "ac")


@pytest.mark.parametrize("policy", ["ab_test", "top_two_thompson"])
def test_a_test_looks_at_labels_alone(policy: str) -> None:
    """A policy that settles with a stated error does not settle on what was said beforehand."""
    known = routes(**BARE, policy=NamedParams(name=policy), max_prior_labels=100_000)
    state, _ = folded([register("a", prior=[0, 50_000]), register("b", prior=[50_000, 0])], known)
    weights = POLICIES[policy]().propensities(seen_by_policies(state, known), 0)
    assert np.count_nonzero(weights) == 2


def test_a_prior_is_forgotten_as_labels_of_its_time() -> None:
    """In buckets it lies where the arm was registered, and goes when such labels would."""
    known = routes(**BARE, max_buckets=3)
    begin = [register("a"), register("b", prior=[30, 10])]
    state, _ = folded(begin, known)
    assert seen_by_policies(state, known).buckets.count.tolist() == [[0.0, 40.0]]
    later = [reward_record("b", 1.0, 1000 * n) for n in range(1, 3)]
    state, _ = folded([*begin, *later], known)
    assert seen_by_policies(state, known).buckets.count[:, 1].tolist() == [40.0, 1.0, 1.0]
    state, _ = folded([*begin, *later, reward_record("b", 1.0, 3000)], known)
    assert seen_by_policies(state, known).buckets.count[:, 1].tolist() == [1.0, 1.0, 1.0]


def test_a_prior_is_told_apart_and_outlives_a_start_anew() -> None:
    """Causes show it beside the labels' mean; ``restart-from`` keeps it, as it keeps the arms."""
    known = routes(**BARE)
    state, _ = folded([register("a", prior=[9, 1]), reward_record("a", 0.0, 5)], known)
    compiled = known.get("r")
    assert compiled is not None
    told = arms_now(state, compiled, 0)["a"]
    assert (told.labels, told.mean, told.prior) == (1, 0.0, [9.0, 1.0])
    anew = carry_over(state, None, 1_000)
    assert anew is not None
    assert anew.arms["a"].prior == state.arms["a"].prior


def test_state_of_before_there_were_priors_is_read() -> None:
    """Arms that were stored without the two newest fields have no prior."""
    state, _ = folded([register("a")], routes(**BARE))
    raw = msgspec.msgpack.decode(encode_route(state))
    arms = next(field for field in raw if isinstance(field, dict) and "a" in field)
    assert len(arms["a"]) == len(ArmState.__struct_fields__)
    arms["a"] = arms["a"][:-2]
    read = decode_route(msgspec.msgpack.encode(raw))
    assert read.arms["a"].prior == [0, 0]
    assert read.arms["a"].validation_count is None
