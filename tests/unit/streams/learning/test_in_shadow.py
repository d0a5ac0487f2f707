"""An arm that answers in shadow: judged at no traffic, promoted by proof, rolled back."""

import random
from typing import Any

import pytest
from msgspec import UNSET
from records import MAX_VALUE_BYTES, command_record, learning_runs, reward_record, routes

from leverframe.agents.operator.narrate import sentence
from leverframe.schemas.causes import cause_of
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.evidence import ArmEvidence, ShadowEvidence
from leverframe.streams.learning.decision import arms_now
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.settings import GuardSettings


class Told:
    """A route that is told of requests, with what it published."""

    def __init__(self, **settings: Any) -> None:
        self.routes = routes(
            **{"label_depends_on_answer": False, "shadow_share": 1.0, "max_step": 1.0, **settings}
        )
        self.states: dict[str, RouteState] = {}
        self.published: list[ControlMessage] = []
        self.at = 0

    @property
    def state(self) -> RouteState:
        return self.states["r"]

    def tell(self, *records: Any) -> None:
        outcome = learn(
            learning_runs(records), self.states, self.routes, max_value_bytes=MAX_VALUE_BYTES
        )
        assert not outcome.dead_letters, outcome.dead_letters
        self.states.update(outcome.states)
        self.published += outcome.control

    def evidence(self) -> dict[str, ArmEvidence]:
        route = self.routes.get("r")
        assert route is not None
        return arms_now(self.state, route, self.at)

    def request(self, served: str, **rewards: float) -> None:
        """One request: shadows first, as attribution tells them."""
        self.at += 25
        told: dict[str, float] = {}
        name, records = f"q{self.at}", []
        for arm, value in rewards.items():
            if arm != served:
                beside = {"served": False, "beside": served, "others": dict(told) or None}
                records.append(reward_record(arm, value, self.at, request_id=name, **beside))
                told[arm] = value
        others = told or None
        records.append(
            reward_record(served, rewards[served], self.at, request_id=name, others=others)
        )
        self.tell(*records)

    def until(self, kind: str, right: dict[str, float], rng: random.Random, most: int) -> int:
        """Requests until a message of a kind is published."""
        for count in range(1, most + 1):
            luck = rng.random()
            rewards = {arm: float(luck < chance) for arm, chance in right.items()}
            arms, weights = zip(*self.state.weights.items(), strict=True)
            self.request(rng.choices(arms, weights)[0], **rewards)
            if self.published and self.published[-1].kind == kind:
                return count
        raise AssertionError(f"no {kind} in {most} requests")


def test_whole_life_in_shadow() -> None:
    """Judged at no traffic, proved, promoted, broken, off the line."""
    told, rng = Told(), random.Random(5)
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b", params={"shadow": True}))
    assert told.state.arms["b"].phase == "shadow"
    assert told.published[-1].weights == {"a": 1.0, "b": 0.0}
    assert told.published[-1].shadow_arms == ["a", "b"]
    assert told.published[-1].shadow_share == 1.0
    told.until("promotion", {"a": 0.85, "b": 0.92}, rng, 1_000)
    promotion = told.published[-1]
    assert promotion.champion == "b"
    assert promotion.cause["labels"] == 0
    assert "b became champion, proved in shadow: 0." in sentence(cause_of(promotion.cause))
    for _ in range(2_000):
        luck = rng.random()
        told.request("b", a=float(luck < 0.85), b=float(luck < 0.92))
    assert told.until("rollback", {"a": 0.85, "b": 0.45}, rng, 100) <= 100
    rollback = told.published[-1]
    assert (rollback.champion, rollback.weights["b"]) == ("a", 0.0)
    assert "requests that both answered, since it began to look bad" in sentence(
        cause_of(rollback.cause)
    )


def test_an_equal_arm_in_shadow_stays_there() -> None:
    """Evidence against nobody: 20 routes of 1,500 requests; alpha is 0.01 for each arm's life."""
    promoted = 0
    for seed in range(20):
        told, rng = Told(), random.Random(seed)
        told.tell(command_record("register_arm", "a"))
        told.tell(command_record("register_arm", "b", params={"shadow": True}))
        for _ in range(1_500):
            a, b = rng.random() < 0.9, rng.random() < 0.9
            told.request("a", a=float(a), b=float(b))
        promoted += told.state.champion == "b"
        assert all(one.kind != "rollback" for one in told.published)
    # Chance of two or more at alpha / 2 each: below 1 %; the seeds are fixed.
    assert promoted <= 1


def test_where_labels_depend_on_the_answer_shadows_are_kept_apart() -> None:
    """They are shown, and move nothing."""
    told = Told(label_depends_on_answer=True)
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b"))
    for _ in range(300):
        told.request("a", a=1.0, b=0.0)
    b = told.state.arms["b"]
    assert b.in_shadow == [300, 0]
    assert (b.count, b.evidence.pairs, told.state.pairs) == (0, [0, 0, 0], {})
    assert told.state.arms["a"].firsts[0] == 300


def test_a_first_reward_in_shadow_gives_no_traffic() -> None:
    """An arm that nobody registered answers beside the champion: it is judged, not served."""
    told = Told()
    told.request("a", a=1.0)
    told.request("a", a=1.0, new=1.0)
    assert told.state.arms["new"].phase == "shadow"
    assert told.state.weights.get("new", 0.0) == 0.0


def test_a_shadow_is_released_into_traffic_by_a_person() -> None:
    """And retired without a word about traffic."""
    told = Told()
    told.request("a", a=1.0, new=1.0)
    told.tell(command_record("release", "new"))
    assert told.state.arms["new"].phase == "nursery"
    told.request("a", a=1.0, other=1.0)
    told.tell(command_record("retire_arm", "other"))
    assert told.state.arms["other"].phase == "retired"


def test_a_label_is_bet_on_once() -> None:
    """Paired labels are in no block beside; those that nobody else answered are."""
    told = Told(promote=False)
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b"))
    for n in range(400):
        told.request("ab"[n % 2], a=1.0, b=1.0)
        told.request("ab"[n % 2], **{"ab"[n % 2]: 1.0})
    b = told.state.arms["b"]
    assert b.evidence.pairs[0] == 400
    assert (b.firsts[0], b.paired[0], b.alone[0]) == (600, 400, 200)


@pytest.mark.parametrize("shadow", ["yes", 1])
def test_a_command_says_true_or_false(shadow: Any) -> None:
    """Anything else is a dead letter."""
    state = Told()
    outcome = learn(
        learning_runs([command_record("register_arm", "a", params={"shadow": shadow})]),
        state.states,
        state.routes,
        max_value_bytes=MAX_VALUE_BYTES,
    )
    assert [letter.reason for letter in outcome.dead_letters] == ["invalid"]


def test_what_is_told_of_an_arm_in_shadow() -> None:
    """Pairs with the champion, whichever was registered first, and by how much it is better."""
    told = Told(promote=False)
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b", params={"shadow": True}))
    fresh = told.evidence()["b"].in_shadow
    assert fresh == ShadowEvidence(labels=0, mean=None)
    for n in range(200):
        told.request("a", a=float(n % 10 > 0), b=1.0)
    b = told.evidence()["b"].in_shadow
    assert (b.labels, b.mean, b.compared_with, b.pairs, b.difference) == (200, 1.0, "a", 200, 0.1)
    assert b.bounds[0] < 0.1 < b.bounds[1]
    assert told.evidence()["a"].in_shadow is UNSET
    told.tell(command_record("promote", "b"))
    told.request("b", a=1.0, b=1.0)
    a = told.evidence()["a"].in_shadow
    assert (a.labels, a.compared_with, a.pairs) == (1, "b", 201)
    assert a.difference == pytest.approx(-20 / 201, abs=1e-6)
    assert a.bounds[0] < a.difference < a.bounds[1]


def test_shadows_that_count_nowhere_are_told_apart() -> None:
    """And messages of a route without shadows say nothing of them."""
    told = Told(label_depends_on_answer=True)
    told.request("a", a=1.0)
    assert "in_shadow" not in str(told.published)
    told.request("a", a=1.0, b=0.0)
    assert told.evidence()["b"].in_shadow == ShadowEvidence(labels=1, mean=0.0, apart=True)


def test_a_steady_way_back_stays() -> None:
    """A succeeded arm is not rolled back for a gap that pairs measure better after the promotion.

    One of 13 answers was wrong until then, one of 8 after it: no more than chance.
    """
    told = Told()
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b", params={"shadow": True}))
    count = 0
    while told.state.champion == "a":
        count += 1
        told.request("a", a=float(count % 13 > 0), b=1.0)
    assert 100 < count < 400
    for _ in range(4_000):
        count += 1
        told.request("b", a=float(count % 8 > 0), b=1.0)
    assert told.state.arms["a"].phase == "candidate"


def lone(seed: int, requests: int, **settings: Any) -> tuple[Told, random.Random]:
    """A champion that all traffic goes to, and an equal arm beside it in shadow."""
    told, rng = Told(**settings), random.Random(seed)
    told.tell(command_record("register_arm", "a"))
    told.tell(command_record("register_arm", "b", params={"shadow": True}))
    serve(told, rng, requests, a=0.95, b=0.95)
    return told, rng


def serve(told: Told, rng: random.Random, requests: int, **right: float) -> None:
    """Half of what makes a request hard is the same for all."""
    for _ in range(requests):
        luck = rng.random()
        own = {arm: luck if rng.random() < 0.5 else rng.random() for arm in right}
        served = told.state.champion or ""
        told.request(served, **{arm: float(own[arm] < chance) for arm, chance in right.items()})


def kinds(told: Told) -> list[str]:
    return [message.kind for message in told.published if message.kind != "routing"]


def test_a_champion_whose_rivals_are_all_in_shadow_is_rolled_back_onto_a_proved_one() -> None:
    """Nobody is exempt: 10 of 10 within 100 requests; it is no way back, as after a promotion."""
    for seed in range(10):
        told, rng = lone(seed, 800)
        assert told.state.arms["a"].evidence.reference == "b"
        serve(told, rng, 100, a=0.5, b=0.95)
        assert kinds(told) == ["rollback"]
        [rollback] = [one for one in told.published if one.kind == "rollback"]
        assert (rollback.cause["arm"], rollback.cause["traffic_to"]) == ("a", "b")
        assert rollback.cause["pairs"] > 0
        assert (rollback.champion, rollback.weights) == ("b", {"a": 0.0, "b": 1.0})
        assert told.state.arms["a"].phase == "quarantined"
        assert told.state.last_known_good == []
        assert not any(one.cause["why"] == "probation" for one in told.published)


def test_a_fall_of_both_moves_nobody() -> None:
    """The world fell: the suspicion of the champion ends, and nobody is rolled back or promoted."""
    for seed in range(4):
        told, rng = lone(seed, 800)
        serve(told, rng, 800, a=0.5, b=0.5)
        assert kinds(told) == []
        assert not told.state.arms["a"].suspicion.is_on
        assert told.state.arms["a"].suspicion.ended == "shared"


def test_nobody_takes_over_from_shadow_where_nobody_may_be_promoted() -> None:
    """The alarm says that no arm is good; a person promotes, or registers another."""
    told, rng = lone(1, 800, promote=False)
    serve(told, rng, 200, a=0.3, b=0.95)
    assert kinds(told) == []
    assert told.state.arms["a"].verdict == "harmful"
    assert "no_good_arm" in told.state.loop.alarms
    told.tell(command_record("promote", "b"))
    told.tell(command_record("rollback", "a"))
    assert told.state.weights == {"b": 1.0}


def test_to_be_below_the_floor_proves_nothing_of_an_arm_in_shadow() -> None:
    """Both fall below it: the champion is harmful, and the one in shadow no better."""
    guard = GuardSettings(reward_floor=0.8)
    told, rng = lone(2, 800, guard=guard)
    serve(told, rng, 1_500, a=0.5, b=0.5)
    assert told.state.arms["a"].verdict == "harmful"
    assert kinds(told) == []
    serve(told, rng, 300, a=0.5, b=0.95)
    assert told.state.champion == "b"


def test_an_arm_with_traffic_stands_in_before_one_in_shadow() -> None:
    """The champion is held against who would take over: an arm that is labelled in service."""
    told, rng = lone(3, 300)
    told.tell(command_record("register_arm", "c"))
    for _ in range(200):
        told.request("c", a=1.0, b=1.0, c=1.0)
    serve(told, rng, 100, a=0.95, b=0.95, c=0.95)
    assert told.state.arms["a"].evidence.reference == "c"
    assert (kinds(told), told.state.arms["b"].phase) == ([], "shadow")


def test_a_proved_arm_in_shadow_stands_in_before_a_beginner() -> None:
    """While one that was registered just now has no labels, the proof is of the other one."""
    told, rng = lone(5, 800)
    told.tell(command_record("register_arm", "c"))
    serve(told, rng, 100, a=0.5, b=0.95)
    assert kinds(told) == ["rollback"]
    assert (told.state.champion, told.state.arms["c"].phase) == ("b", "nursery")
    assert sum(told.state.weights.values()) == pytest.approx(1.0)


def test_a_person_cannot_roll_back_onto_an_unproved_arm() -> None:
    """Without an eligible arm a rollback is refused, as ever; ``promote`` says who takes over."""
    told, _ = lone(4, 100)
    outcome = learn(
        learning_runs([command_record("rollback", "a")]),
        told.states,
        told.routes,
        max_value_bytes=MAX_VALUE_BYTES,
    )
    assert [letter.reason for letter in outcome.dead_letters] == ["refused"]
