"""Weights by hand, and an arm that is held out to measure the others by."""

from typing import Any

import pytest
from records import command_record, routes
from traffic_loop import Loop

from leverframe.policies.registry import make_policy
from leverframe.schemas.errors import PolicyError
from leverframe.streams.routes.settings import GuardSettings, HoldoutSettings, NamedParams


def by_hand(**weights: float) -> NamedParams:
    return NamedParams(name="static", params={"weights": weights})


def loop_of(*arms: str, **settings: Any) -> Loop:
    loop = Loop(1, routes(**settings))
    loop.begin(*arms)
    return loop


def test_weights_of_the_settings_are_published_as_they_are() -> None:
    """From the first decision on: no nursery, no floor, no largest step."""
    loop = loop_of("a", "b", "c", policy=by_hand(a=0.5, b=0.45, c=0.05), promote=False)
    loop.run(300, a=0.9, b=0.9, c=0.9)
    assert loop.state.weights == {"a": 0.5, "b": 0.45, "c": 0.05}


def test_a_command_sets_weights_and_labels_move_nothing() -> None:
    loop = loop_of("a", "b")
    loop.take([command_record("set_weights", params={"weights": {"a": 0.9, "b": 0.1}})])
    assert loop.state.weights == {"a": 0.9, "b": 0.1}
    loop.run(500, a=0.7, b=0.75)
    assert loop.state.weights == {"a": 0.9, "b": 0.1}
    assert loop.state.policy == ("static", {"weights": {"a": 0.9, "b": 0.1}})


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"a": 0.9}, "refused"),
        ({"a": 1.2, "b": -0.2}, "refused"),
        ({"a": 0.5, "zebra": 0.5}, "unknown_arm"),
        ({}, "invalid"),
        ([["a", 1.0]], "invalid"),
        ({"a": "all"}, "refused"),
        ({"a": 1.7e308, "b": 1.7e308}, "refused"),
    ],
)
def test_weights_that_are_no_shares_change_nothing(weights: Any, reason: str) -> None:
    loop = loop_of("a", "b")
    before = dict(loop.state.weights), loop.state.seq
    letters = loop.refused([command_record("set_weights", params={"weights": weights})])
    assert letters == [reason]
    assert (dict(loop.state.weights), loop.state.seq) == before


def test_guard_takes_a_harmful_arm_off_whatever_was_written() -> None:
    """Its share goes to the champion, and stays there."""
    loop = loop_of("a", "b", policy=by_hand(a=0.5, b=0.5), promote=False)
    loop.run(800, a=0.95, b=0.5)
    assert loop.state.arms["b"].phase == "quarantined"
    assert loop.state.weights == {"a": 1.0}
    again = command_record("set_weights", params={"weights": {"a": 0.5, "b": 0.5}})
    assert loop.refused([again]) == ["refused"]
    assert loop.state.weights == {"a": 1.0}


def test_weights_must_add_up() -> None:
    with pytest.raises(PolicyError, match=r"add up to 1, these to 0\.7"):
        make_policy("static", {"weights": {"a": 0.4, "b": 0.3}})
    with pytest.raises(PolicyError, match=r"must lie in \[0, 1\]"):
        make_policy("static", {"weights": {"a": 1.4, "b": -0.4}})


def test_holdout_keeps_its_share_for_good() -> None:
    """Worse than all others, and never rolled back for that; the others share the rest."""
    loop = loop_of("a", "old", "b", holdout=HoldoutSettings(arm="old", share=0.1), promote=False)
    loop.run(3000, old=0.5, a=0.9, b=0.85)
    assert loop.state.weights["old"] == pytest.approx(0.1)
    assert loop.state.arms["old"].phase != "quarantined"
    assert not loop.why("guard")
    assert not any(message.cause.get("arm") == "old" for message in loop.why("probation"))


def test_holdout_below_the_floor_is_rolled_back() -> None:
    """The floor is what nobody may fall below."""
    loop = loop_of(
        "old",
        "a",
        holdout=HoldoutSettings(arm="old", share=0.2),
        guard=GuardSettings(reward_floor=0.6),
        promote=False,
    )
    loop.run(2500, old=0.3, a=0.9)
    assert loop.state.arms["old"].phase == "quarantined"
    assert loop.state.weights == {"a": 1.0}


def test_weights_by_hand_are_not_held_back_after_a_rollback() -> None:
    loop = loop_of("a", "b", "c", policy=by_hand(a=0.8, b=0.1, c=0.1), promote=False)
    loop.take([command_record("rollback", "b", at=loop.at)])
    loop.take([command_record("set_weights", params={"weights": {"a": 0.5, "c": 0.5}}, at=loop.at)])
    assert loop.state.weights == {"a": 0.5, "c": 0.5}


def test_a_holdout_that_becomes_champion_has_the_traffic() -> None:
    loop = loop_of("a", "h", holdout=HoldoutSettings(arm="h", share=0.05), promote=False)
    loop.run(100, a=0.9, h=0.9)
    loop.label("n", 1.0)
    loop.take([command_record("rollback", "a", params={"yes": True}, at=loop.at)])
    loop.run(50, h=0.9, n=0.9)
    assert loop.state.champion == "h"
    assert loop.state.weights["h"] > 0.5
