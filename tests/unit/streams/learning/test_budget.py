"""A budget bounds the weights, whatever the policy wants; a person's pin and freeze outrank it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import measured, measured_record
from records import command_record, reward_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.narrate import sentence
from leverframe.schemas.causes import cause_of
from leverframe.streams.learning.budget import tilted
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import NamedParams

BUDGET = {"cost": MetricSettings(role="budget", range=(0, 10), at_most=3)}
DEAR = NamedParams(name="static", params={"weights": {"a": 0.2, "b": 0.8}})


def loop_of(**settings: Any) -> Loop:
    fixed = {"policy": DEAR, "nursery_labels": 0, "metrics": BUDGET, **settings}
    loop = Loop(1, routes(**fixed))
    loop.take([command_record("register_arm", arm) for arm in "ab"])
    return loop


def charge(loop: Loop, count: int = 20, **costs: float) -> None:
    for _ in range(count):
        loop.at += 100
        loop.take([measured_record([measured(arm, loop.at, cost=c) for arm, c in costs.items()])])


def mean_of(loop: Loop, **costs: float) -> float:
    return math.fsum(loop.state.weights[arm] * cost for arm, cost in costs.items())


def test_weights_are_within_the_budget_before_any_label() -> None:
    """As soon as costs are known, and no further than is enough; the message says why."""
    loop = loop_of()
    assert loop.state.weights == {"a": 0.2, "b": 0.8}
    charge(loop, a=1, b=5)
    assert mean_of(loop, a=1, b=5) == pytest.approx(3, abs=1e-6)
    (message,) = loop.why("budget")
    assert sentence(cause_of(message.cause)) == (
        "weights moved into the budget of cost: they made 4.2 a request, where 3 is allowed"
    )
    charge(loop, a=1, b=5)
    assert len(loop.why("budget")) == 1


def test_a_policy_that_learns_stays_within_it() -> None:
    """The dear arm is the better one by labels, and has as much as the budget allows."""
    loop = loop_of(policy=NamedParams(name="thompson"))
    for _ in range(300):
        charge(loop, 1, a=1, b=5)
        loop.take([reward_record("b", 1.0, loop.at), reward_record("a", 0.0, loop.at)])
    assert loop.state.weights["b"] == pytest.approx(0.5, abs=0.01)


def test_the_cheapest_arm_has_it_all_where_nothing_is_within() -> None:
    """A budget that no arm keeps is no reason to stop answering, nor to publish for ever."""
    loop = loop_of()
    charge(loop, a=5, b=9)
    assert loop.state.weights["a"] > 0.99
    told = len(loop.messages)
    charge(loop, a=5, b=9)
    assert len(loop.messages) == told


@pytest.mark.parametrize("action", ["pin", "freeze"])
def test_a_person_outranks_a_budget(action: str) -> None:
    loop = loop_of()
    loop.take([command_record(action, "b" if action == "pin" else None)])
    before = loop.state.weights
    charge(loop, a=1, b=9)
    assert loop.state.weights == before


def test_an_arm_of_which_nothing_is_known_is_taken_to_be_at_the_bound() -> None:
    """It moves nothing until its first value."""
    loop = loop_of()
    charge(loop, a=1)
    assert not loop.why("budget")
    charge(loop, 1, b=9)
    assert loop.why("budget")


def test_a_replay_moves_them_alike() -> None:
    loop = loop_of()
    charge(loop, a=1, b=5)
    again = Loop(1, loop.route)
    again.take(loop.records)
    assert state_digest(again.state) == state_digest(loop.state)


# As weights are: rounded to 1e-9.
share = st.floats(0, 1).map(lambda one: round(one, 9))
shares = st.lists(share, min_size=2, max_size=5).filter(lambda one: sum(one) > 0.01)


@given(shares, st.lists(st.floats(0, 1), min_size=5, max_size=5), st.floats(0, 1))
def test_tilted_weights_are_within_the_bound_or_on_the_cheapest(
    given_: list[float], costs: list[float], most: float
) -> None:
    """Shares stay shares, none where there was none; the mean is no more than it may be."""
    names = [str(at) for at in range(len(given_))]
    wanted = {name: share / sum(given_) for name, share in zip(names, given_, strict=True)}
    cost = dict(zip(names, costs, strict=False))
    made = tilted(wanted, cost, most)
    assert math.fsum(made.values()) == pytest.approx(1)
    assert all(share >= 0 and (wanted[name] > 0 or share == 0) for name, share in made.items())
    mean = math.fsum(share * cost[name] for name, share in made.items())
    least = min(cost[name] for name, share in wanted.items() if share > 0)
    assert mean <= max(most, least) + 1e-3


def test_each_request_of_a_unit_costs() -> None:
    """A budget is about requests, whoever makes them."""
    loop = loop_of()
    for at in range(20):
        loop.take(
            [measured_record([measured("b", at, "heavy", cost=5), measured("a", at, cost=1)])]
        )
    assert loop.state.measured is not None
    assert loop.state.measured.arms["b"]["cost"].count == 20
    assert loop.why("budget")
