"""Nobody is exempt from the guard, and traffic never goes where the evidence speaks against."""

from typing import Any

import pytest
from records import command_record, routes
from traffic_loop import Loop

from leverframe.streams.learning.heirs import fallback_of, last_known_good, reference_of
from leverframe.streams.learning.measured import RouteMetrics
from leverframe.streams.learning.state import Reign
from leverframe.streams.routes.settings import GuardSettings, NamedParams

HALVES: dict[str, Any] = {
    "policy": NamedParams(name="ab_test", params={"labels_per_arm": 1_000_000}),
    "promote": False,
    "nursery_labels": 20,
}


def test_guard_rolls_back_a_first_champion_that_breaks() -> None:
    """Without a former champion the best candidate is the reference: 10 of 10 are found."""
    for seed in range(10):
        loop = Loop(seed, routes(**HALVES))
        loop.begin("a", "b")
        loop.run(600, a=0.95, b=0.95)
        loop.run(400, a=0.3, b=0.95)
        assert [message.cause["arm"] for message in loop.why("guard")] == ["a"]
        assert loop.state.champion == "b"


def test_guard_rolls_back_a_last_known_good_that_breaks() -> None:
    """The way back is held against the champion: 10 of 10 are found."""
    for seed in range(10):
        loop = Loop(seed, routes(**HALVES))
        loop.begin("a", "b")
        loop.run(400, a=0.9, b=0.95)
        loop.take([command_record("promote", "b", loop.at)])
        loop.run(400, a=0.9, b=0.95)
        assert last_known_good(loop.state) == "a"
        loop.run(500, a=0.3, b=0.95)
        assert [message.cause["arm"] for message in loop.why("guard")] == ["a"]


def test_guard_keeps_a_way_back_that_is_as_good_as_it_was_known_to_be() -> None:
    """A former champion that its successor beats stays: its margin has the gap in it."""
    loop = Loop(1, routes(nursery_labels=20))
    loop.begin("a", "b")
    loop.run(6000, a=0.7, b=0.9)
    assert loop.state.champion == "b"
    assert loop.state.arms["a"].phase == "candidate"
    assert not loop.why("guard")


def test_every_eligible_arm_has_a_reference() -> None:
    """Champion and reserve are held against each other, challengers against the champion."""
    loop = Loop(2, routes(**HALVES))
    loop.begin("a", "b", "c")
    loop.run(300, a=0.9, b=0.9, c=0.9)
    loop.take([command_record("promote", "b", loop.at)])
    loop.run(50, a=0.9, b=0.9, c=0.9)
    state = loop.state
    assert {name: reference_of(state, name) for name in state.arms} == {
        "a": "b",
        "b": "a",
        "c": "b",
    }
    assert all(arm.evidence.reference for arm in state.arms.values())


def test_heir_is_chosen_by_the_evidence_as_it_stands() -> None:
    """A former champion with evidence against it is passed over, a harmful arm comes last."""
    loop = Loop(3, routes(**HALVES))
    loop.begin("a", "b", "c")
    loop.run(300, a=0.9, b=0.9, c=0.9)
    loop.take([command_record("promote", "b", loop.at)])
    state = loop.state
    assert fallback_of(state, "b") == "a"
    state.arms["a"].against_micro = 2_000_000
    assert last_known_good(state) is None
    assert fallback_of(state, "b") == "c"
    state.arms["c"].verdict = "harmful"
    assert fallback_of(state, "b") == "a"


def test_an_arm_that_a_guardrail_doubts_is_no_heir_while_there_is_another() -> None:
    """Quality convicts the one, latency doubts the other: traffic goes to the third."""
    loop = Loop(3, routes(**HALVES))
    loop.begin("a", "b", "c")
    loop.run(300, a=0.9, b=0.9, c=0.9)
    loop.take([command_record("promote", "b", loop.at)])
    state = loop.state
    state.measured = RouteMetrics(suspects=["a"])
    assert last_known_good(state) is None
    assert fallback_of(state, "b") == "c"
    state.arms["c"].against_micro = 2_000_000
    assert fallback_of(state, "b") == "a"


def test_person_is_warned_when_the_heir_is_worse() -> None:
    """``rollback`` is refused with the evidence and the way round; ``yes`` goes through."""
    loop = Loop(4, routes(guard=GuardSettings(enabled=False), **HALVES))
    loop.begin("a", "b")
    loop.run(800, a=0.2, b=0.9)
    loop.take([command_record("rollback", "b", loop.at)])
    assert loop.state.arms["b"].is_eligible
    loop.take([command_record("rollback", "b", loop.at, params={"yes": True})])
    assert loop.state.arms["b"].phase == "quarantined"


def test_alarm_says_that_no_arm_is_good() -> None:
    """All below the floor: the least bad arm keeps the traffic, and the alarm is raised once."""
    guard = GuardSettings(reward_floor=0.8)
    loop = Loop(5, routes(guard=guard, **HALVES))
    loop.begin("a", "b")
    loop.run(600, a=0.2, b=0.4)
    (alarm,) = loop.why("no_good_arm")
    assert loop.state.weights == {"b": 1.0}
    assert alarm.cause["arm"] == loop.state.champion == "b"
    assert "no_good_arm" in loop.state.loop.alarms
    loop.run(4000, b=0.99)
    assert "no_good_arm" not in loop.state.loop.alarms


@pytest.mark.parametrize("gap", [0, 100_000_000])
def test_reign_of_an_older_ledger_has_no_gap(gap: int) -> None:
    """A new field at the end: what was written before it reads as before."""
    reign = Reign("a", 1, 2, 3, 0.5, "healthy", gap)
    assert Reign("a", 1, 2, 3, 0.5, "healthy").gap_nano == 0
    assert reign.gap_nano == gap


def test_champion_that_was_always_worse_is_rolled_back_where_nobody_is_promoted() -> None:
    """With ``promote`` the challenger succeeds it, and it stays as the way back."""
    for promote in (False, True):
        loop = Loop(6, routes(**(HALVES | {"promote": promote})))
        loop.begin("a", "b")
        loop.run(600, a=0.5, b=0.95)
        assert loop.state.champion == "b"
        assert loop.state.arms["a"].phase == ("candidate" if promote else "quarantined")
