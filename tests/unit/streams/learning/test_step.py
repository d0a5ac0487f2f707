"""Learning: statistics, decisions, rollback, commands; one record at a time or many."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    command_record,
    learning_runs,
    reward_record,
    routes,
)

from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.outcome import LearningOutcome
from leverframe.streams.learning.state import (
    RouteState,
    decode_route,
    encode_route,
    new_route,
    state_digest,
)
from leverframe.streams.learning.statistics import arm_stats
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import GuardSettings, NamedParams


def folded(
    records: Sequence[Record], route: Routes, cuts: Sequence[int] = ()
) -> tuple[RouteState, list[ControlMessage], list[LearningOutcome]]:
    """Fold records cut into micro-batches, the state through its codec in between."""
    stored: dict[str, bytes] = {}
    messages: list[ControlMessage] = []
    outcomes = []
    bounds = [0, *sorted(cuts), len(records)]
    for begin, end in zip(bounds, bounds[1:], strict=False):
        states = {name: decode_route(raw) for name, raw in stored.items()}
        batch = learning_runs(records[begin:end])
        outcome = learn(batch, states, route, max_value_bytes=MAX_VALUE_BYTES)
        stored |= {name: encode_route(state) for name, state in outcome.states.items()}
        messages += outcome.control
        outcomes.append(outcome)
    state = decode_route(stored["r"]) if "r" in stored else new_route("r")
    return state, messages, outcomes


def stream(
    seed: int,
    count: int,
    rates: dict[str, float],
    start: int = 0,
    share: dict[str, float] | None = None,
) -> list[Record]:
    """Rewards of 0 and 1, one each millisecond."""
    rng = random.Random(seed)
    arms = list(rates)
    weights = None if share is None else [share[arm] for arm in arms]
    return [
        reward_record(arm, float(rng.random() < rates[arm]), start + i)
        for i, arm in enumerate(rng.choices(arms, weights, k=count))
    ]


def sums(state: RouteState) -> tuple[int, int]:
    arm = state.arms["a"]
    return arm.count, arm.sum_nano


def test_learning_registers_arms_by_their_first_reward() -> None:
    """The first arm is champion with all weight; the second starts in the nursery."""
    state, messages, _ = folded([reward_record("a", 1.0), reward_record("b", 1.0, 1)], routes())
    assert state.champion == "a"
    assert [arm.phase for arm in state.arms.values()] == ["champion", "nursery"]
    assert messages[0].weights == {"a": 1.0}
    assert messages[0].safe_weights == {"a": 1.0}


def test_learning_refuses_unknown_arms_where_commands_register() -> None:
    """``register_arms = "command"``: an unknown arm's reward is a dead letter with the cure."""
    route = routes(register_arms="command")
    _, _, (outcome,) = folded([reward_record("a", 1.0)], route)
    (letter,) = outcome.dead_letters
    assert letter.reason == "unknown_arm"
    assert "leverframe arm register r a" in letter.detail


def test_learning_moves_statistics_by_the_difference() -> None:
    """A revision and a withdrawal leave exactly what a clean recount would."""
    first, second = reward_record("a", 1.0), reward_record("a", 0.25, 1)
    revised = reward_record("a", 0.5, 2, previous_reward=1.0, revision=1, counted_at_ms=T0)
    state, _, _ = folded([first, second, revised], routes())
    clean, _, _ = folded([reward_record("a", 0.5), reward_record("a", 0.25, 1)], routes())
    assert sums(state) == sums(clean) == (2, 750_000_000)
    assert state.arms["a"].buckets == clean.arms["a"].buckets
    withdrawn = reward_record("a", None, 3, previous_reward=0.5, revision=2, counted_at_ms=T0)
    state, _, _ = folded([first, second, revised, withdrawn], routes())
    assert sums(state) == (1, 250_000_000)


@pytest.mark.parametrize("seed", range(3))
def test_learning_does_not_depend_on_micro_batches(seed: int) -> None:
    """The same rewards give the same messages and digest, cut anyhow."""
    records = stream(seed, 1500, {"a": 0.9, "b": 0.5, "c": 0.95})
    rng = random.Random(seed)
    whole, messages, _ = folded(records, routes())
    cut, same, _ = folded(records, routes(), [rng.randrange(1500) for _ in range(40)])
    assert state_digest(whole) == state_digest(cut)
    assert messages == same


def test_learning_moves_traffic_to_the_better_arm_and_promotes_it() -> None:
    """A clearly better arm gets most of the weight and becomes champion; epoch rises."""
    state, messages, _ = folded(stream(1, 3000, {"a": 0.6, "b": 0.95}), routes())
    assert state.champion == "b"
    assert state.weights["b"] > 0.9
    promotion = next(message for message in messages if message.kind == "promotion")
    assert (promotion.champion, promotion.epoch) == ("b", 1)
    assert promotion.cause["log_evidence"] >= promotion.cause["log_threshold"]


def broken_later(route: Routes) -> tuple[RouteState, list[ControlMessage]]:
    """``b`` is better, wins, then breaks."""
    good = stream(2, 3000, {"a": 0.8, "b": 0.95})
    bad = stream(3, 3000, {"a": 0.8, "b": 0.2}, start=3000, share={"a": 0.1, "b": 0.9})
    state, messages, _ = folded([reward_record("a", 1.0), *good, *bad], route)
    return state, messages


def test_learning_rolls_a_broken_champion_back() -> None:
    """A broken champion is quarantined; the last known good is champion again."""
    state, messages = broken_later(routes())
    (rollback,) = [message for message in messages if message.kind == "rollback"]
    assert rollback.champion == "a"
    assert rollback.weights["b"] == 0.0
    assert rollback.quarantined == ["b"]
    assert rollback.cause["arm"] == "b"
    assert rollback.cause["log_evidence"] >= rollback.cause["log_threshold"]
    assert state.arms["b"].phase == "quarantined"
    assert "b" not in state.weights


def test_learning_only_watches_when_the_guard_is_off() -> None:
    """``guard.enabled = false``: nothing is rolled back."""
    _, messages = broken_later(routes(guard=GuardSettings(enabled=False)))
    assert not [message for message in messages if message.kind == "rollback"]


def test_learning_rises_strictly_and_weighs_to_one() -> None:
    """(epoch, seq) rises with every message, and weights add up to 1 over eligible arms."""
    _, messages = broken_later(routes())
    order = [(message.epoch, message.seq) for message in messages]
    assert order == sorted(set(order))
    for message in messages:
        assert sum(message.weights.values()) == pytest.approx(1.0, abs=1e-9)
        assert all(message.weights[arm] == 0 for arm in message.quarantined)


def test_learning_never_rolls_back_the_only_arm() -> None:
    """With no other eligible arm there is nothing to fall back to."""
    _, messages, outcomes = folded(
        [*stream(1, 300, {"a": 0.1}), command_record("rollback", "a", 400)], routes()
    )
    assert not [message for message in messages if message.kind == "rollback"]
    assert [letter.reason for letter in outcomes[0].dead_letters] == ["refused"]


def test_heartbeat_changes_the_sequence_and_nothing_else() -> None:
    """A heartbeat says the same weights again with a higher seq; the digest stands."""
    route = routes()
    state, messages, _ = folded(stream(1, 500, {"a": 0.6, "b": 0.9}), route)
    digest, seq = state_digest(state), state.seq
    settings = route.get("r")
    assert settings is not None
    beat = heartbeat(state, settings, T0 + 10_000)
    assert (beat.kind, beat.seq, beat.weights) == ("heartbeat", seq + 1, messages[-1].weights)
    assert state_digest(state) == digest == beat.state_digest


# -- commands --------------------------------------------------------------------------------------


def after(*commands: Record, **settings: Any) -> tuple[RouteState, list[ControlMessage], list[str]]:
    """Register a, b and c, then these commands; return state, messages and refusals."""
    registered = [command_record("register_arm", name) for name in "abc"]
    state, messages, outcomes = folded([*registered, *commands], routes(**settings))
    refused = [letter.reason for outcome in outcomes for letter in outcome.dead_letters]
    return state, messages[3:], refused


def test_commands_are_answered_with_their_id() -> None:
    """Each command is answered by a control message that carries its id, once."""
    command = command_record("pin", "b", command_id="once")
    state, messages, refused = after(command, command)
    assert [message.cause["command_id"] for message in messages] == ["once"]
    assert (state.pinned, messages[0].weights["b"], refused) == ("b", 1.0, [])


def test_commands_that_make_no_sense_are_dead_letters() -> None:
    """Unknown arms, repeated registration, unpinning nothing: refused, the state unchanged."""
    before, _, _ = after()
    state, messages, refused = after(
        command_record("rollback", "nobody"),
        command_record("register_arm", "a"),
        command_record("unpin"),
        command_record("release", "a"),
        command_record("promote", "a"),
        command_record("set_policy", params={"policy": "no-such"}),
        command_record("set_policy", params={"policy": "epsilon_greedy", "params": {"epsilon": 7}}),
    )
    assert refused == ["unknown_arm", *["refused"] * 6]
    assert not messages
    assert state_digest(state) == state_digest(before)


def test_commands_need_a_route_with_arms() -> None:
    """A misspelt route is refused, not created with no weights at all."""
    _, messages, outcomes = folded([command_record("freeze"), command_record("unpin")], routes())
    assert not messages
    assert [letter.reason for letter in outcomes[0].dead_letters] == ["refused", "refused"]


def test_records_in_the_wrong_partition_are_refused() -> None:
    """A producer with another partitioner would split the route's state in two."""
    batch = learning_runs([command_record("register_arm", "a")])
    outcome = learn(batch, {}, routes(), max_value_bytes=MAX_VALUE_BYTES, partition_of=len)
    (letter,) = outcome.dead_letters
    assert letter.reason == "wrong_partition"
    assert "murmur2" in letter.detail


def test_rollback_by_command_beats_a_freeze_and_lifts_the_arms_pin() -> None:
    """A person's rollback goes through whatever holds the weights."""
    state, messages, refused = after(
        command_record("pin", "b"), command_record("freeze"), command_record("rollback", "b")
    )
    assert not refused
    assert messages[-1].kind == "rollback"
    assert messages[-1].weights["b"] == 0.0
    assert (state.pinned, state.arms["b"].phase) == (None, "quarantined")


def test_release_starts_in_the_nursery_again() -> None:
    """A released arm gets its nursery share and keeps its memory."""
    state, messages, _ = after(command_record("rollback", "b"), command_record("release", "b"))
    assert state.arms["b"].phase == "nursery"
    assert 0 < messages[-1].weights["b"] <= 0.2
    assert messages[-1].quarantined == []


def test_promote_and_retire_move_the_champion() -> None:
    """Promotion raises the epoch; retiring the champion returns to the last known good."""
    state, messages, refused = after(
        command_record("promote", "c"), command_record("retire_arm", "c")
    )
    assert not refused
    assert [message.champion for message in messages] == ["c", "a"]
    assert messages[-1].epoch == 2
    assert "c" not in messages[-1].weights
    assert state.arms["c"].phase == "retired"


def test_freeze_holds_the_weights() -> None:
    """Rewards move nothing while frozen; unfreezing lets the policy go on."""
    frozen = [command_record("register_arm", name) for name in "ab"] + [command_record("freeze")]
    rewards = stream(5, 1500, {"a": 0.9, "b": 0.3}, start=10, share={"a": 1, "b": 1})
    state, messages, _ = folded([*frozen, *rewards], routes(guard=GuardSettings(enabled=False)))
    assert messages[-1].cause["action"] == "freeze"
    thawed, _, _ = folded(
        [*frozen, *rewards, command_record("unfreeze", at=2000)],
        routes(guard=GuardSettings(enabled=False)),
    )
    assert thawed.weights["a"] > state.weights["a"]


def test_set_policy_changes_how_arms_are_weighed() -> None:
    """``newest`` by command sends traffic to the newest arm."""
    state, messages, refused = after(
        command_record("set_policy", params={"policy": "newest"}),
        nursery_labels=0,
        max_step=1.0,
        floor=0.0,
    )
    assert not refused
    assert state.policy == ("newest", {})
    assert messages[-1].weights == {"a": 0.0, "b": 0.0, "c": 1.0}


def test_shadow_policies_are_recorded_and_not_applied() -> None:
    """A shadow policy's weights are kept beside those in force, and heartbeats tell them."""
    rewards = stream(4, 1500, {"a": 0.5, "b": 0.9})
    quiet = {"guard": GuardSettings(enabled=False), "promote": False}
    plain, messages, _ = folded(rewards, routes(policy="epsilon_greedy", **quiet))
    route = routes(policy="epsilon_greedy", shadow=[NamedParams(name="newest")], **quiet)
    shadowed, same, _ = folded(rewards, route)
    assert [m.weights for m in messages] == [m.weights for m in same]
    assert shadowed.weights == plain.weights
    newest_arm = list(shadowed.arms)[-1]
    assert max(shadowed.shadow["newest"], key=shadowed.shadow["newest"].__getitem__) == newest_arm
    settings = route.get("r")
    assert settings is not None
    assert heartbeat(shadowed, settings, T0).cause["shadow"] == shadowed.shadow


def test_linear_statistics_move_by_the_difference() -> None:
    """Contexts of the right length are summed; a withdrawal leaves what a clean recount would."""
    route = routes(context_dimension=2)
    first = reward_record("a", 1.0, context=[1.0, 2.0])
    second = reward_record("a", 0.5, 1, context=[0.5, -1.0])
    other = reward_record("a", 1.0, 2, context=[1.0])
    gone = reward_record(
        "a", None, 3, previous_reward=1.0, revision=1, counted_at_ms=T0, context=[1.0, 2.0]
    )
    state, _, _ = folded([first, second, other, gone], route)
    clean, _, _ = folded([second], route)
    assert state.arms["a"].linear == clean.arms["a"].linear
    settings = route.get("r")
    assert settings is not None
    linear = arm_stats(state, settings.settings.bucket_ms, 2).linear
    assert linear is not None
    assert linear.gram[0].tolist() == [[0.25, -0.5], [-0.5, 1.0]]
    assert linear.moment[0].tolist() == [0.25, -0.5]


def with_params(action: str, params: bytes) -> Record:
    """A command whose parameters only a foreign client would write."""
    value = b'{"command_id":"c-%s","route":"r","action":"%s","arm":"b","params":%s,' % (
        action.encode(),
        action.encode(),
        params,
    )
    return Record(b"r", value + b'"actor":"x","issued_at_ms":0}', topic="commands")


def test_learning_survives_extreme_propensities_and_scores() -> None:
    """A propensity next to nothing is bounded; a score beyond floats is refused."""
    state, _, outcomes = folded(
        [
            reward_record("a", 1.0, propensity=1e-300),
            command_record("register_arm", "\0c"),
            with_params("register_arm", b'{"validation_score":1%s}' % (b"0" * 400)),
            with_params("set_policy", b'{"policy":"exp3","params":{"gamma":1%s}}' % (b"0" * 40)),
        ],
        routes(),
    )
    assert encode_route(state)
    assert state.arms["a"].inverse_propensity_micro == 10**12
    reasons = [letter.reason for letter in outcomes[0].dead_letters]
    assert reasons == ["invalid", "invalid", "refused"]


def test_learning_limits_the_number_of_arms() -> None:
    """More arms than ``max_arms`` are dead letters."""
    records = [reward_record(f"arm-{i}", 1.0, i) for i in range(4)]
    state, _, (outcome,) = folded(records, routes(max_arms=3))
    assert len(state.arms) == 3
    assert [letter.reason for letter in outcome.dead_letters] == ["limit"]


def test_arm_off_the_line_keeps_no_evidence() -> None:
    """A rolled-back arm that is still served must not fill the state."""
    state, *_ = after(command_record("rollback", "b", at=5000))
    size = len(encode_route(state))
    states = {"r": state}
    more = stream(9, 4000, {"a": 0.9, "b": 0.9}, start=6000)
    learn(learning_runs(more), states, routes(), max_value_bytes=MAX_VALUE_BYTES)
    assert states["r"].arms["b"].evidence.closed == []
    assert len(encode_route(states["r"])) < size + 4000


def test_freeze_gives_a_newcomer_its_share_and_moves_nothing_else() -> None:
    """Frozen weights make room in proportion."""
    state, *_ = after(command_record("freeze", at=5000))
    before = dict(state.weights)
    states = {"r": state}
    joined = command_record("register_arm", "d", at=5001)
    learn(learning_runs([joined]), states, routes(), max_value_bytes=MAX_VALUE_BYTES)
    weights = states["r"].weights
    assert weights["d"] == pytest.approx(0.1)
    for arm, share in before.items():
        assert weights[arm] == pytest.approx(share * 0.9, abs=1e-8)


def test_promotion_needs_recent_labels() -> None:
    """Evidence of yesterday promotes nobody today."""
    better = stream(1, 3000, {"a": 0.6, "b": 0.95})
    frozen = [reward_record("a", 1.0), reward_record("b", 1.0, 1), command_record("freeze", at=2)]
    tomorrow = 86_400_000
    rest = [command_record("unfreeze", at=tomorrow)]
    rest += [reward_record("a", 1.0, tomorrow + i) for i in range(50)]
    state, messages, _ = folded([*frozen, *better, *rest], routes())
    assert state.champion == "a"
    assert not [message for message in messages if message.kind == "promotion"]


def test_automation_never_leaves_a_champion_for_a_beginner() -> None:
    """A harmful champion stays until somebody who is no mere beginner can stand in."""
    guard = GuardSettings(reward_floor=0.9)
    bad = stream(4, 2000, {"a": 0.5})
    newcomer = command_record("register_arm", "b", at=100)
    ordered = [bad[0], newcomer, *bad[1:]]
    state, messages, _ = folded(ordered, routes(guard=guard, nursery_labels=50))
    assert state.champion == "a"
    assert state.arms["a"].verdict == "harmful"
    assert not [message for message in messages if message.kind == "rollback"]


def test_guard_sees_fast_and_slow_labels_at_one_age_where_silence_counts() -> None:
    """Clicks come at once, silence counts later: the guard looks when the default falls due.

    Else an arm with more recent traffic would look better than an equal one.
    """
    route = routes(default_reward=0.0, default_after_s=60.0)
    click = reward_record("a", 1.0, request_id="x")
    told = reward_record(
        "a",
        1.0,
        60_000,
        request_id="x",
        cause="expiry",
        previous_reward=1.0,
        revision=1,
        counted_at_ms=T0,
    )
    silent = reward_record("a", 0.0, 60_001, request_id="y", cause="expiry")
    state, _, _ = folded([click], route)
    assert (sums(state), state.arms["a"].firsts) == ((1, 10**9), (0, 0))
    state, _, _ = folded([click, told, silent], route)
    assert (sums(state), state.arms["a"].firsts) == ((2, 10**9), (2, 10**9))
