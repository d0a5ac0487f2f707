"""What of a route lives on when its statistics are given up."""

from dataclasses import replace
from typing import Any

import pytest
from records import learning_runs, reward_record, routes

from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.restart import (
    RESTART_KEY,
    carry_over,
    encode_restart,
    is_restart,
    move_over,
    states_at_begin,
)
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn


def known(**more: Any) -> RouteState:
    arms = {
        "a": ArmState(1, 10, None, "champion", 0, count=40, sum_nano=7),
        "b": ArmState(2, 20, 0.5, "quarantined", 0, count=30),
        "c": ArmState(3, 30, None, "nursery", 100, count=60),
    }
    state = {"epoch": 4, "seq": 90, "champion": "a", "arms": arms, "pinned": "a"} | more
    return RouteState("r", weights={"a": 0.9, "c": 0.1}, **state)


def message(**more: Any) -> ControlMessage:
    fields: dict[str, Any] = {
        "epoch": 4,
        "seq": 91,
        "kind": "heartbeat",
        "weights": {"a": 0.2, "b": 0.0, "d": 0.8},
        "champion": "d",
        "quarantined": ["b"],
        "safe_weights": {"d": 1.0},
        "ttl_ms": 1,
        "issued_at_ms": 1,
        "salt": "s",
        "cause": {},
        "state_digest": "0",
    }
    return ControlMessage(route="r", **fields | more)


def test_statistics_go_and_decisions_stay() -> None:
    """An arm that was rolled back gets no traffic because somebody counted anew."""
    state = carry_over(known(), None, 1_000)
    assert state is not None
    assert (state.epoch, state.seq, state.champion, state.pinned) == (5, 90, "a", "a")
    assert {name: arm.phase for name, arm in state.arms.items()} == {
        "a": "champion",
        "b": "quarantined",
        "c": "nursery",
    }
    assert state.labels == 0
    assert state.arms["b"].validation_score == 0.5
    assert state.arms["c"].nursery_until == 40
    assert state.weights == {"a": 0.9, "c": 0.1}


def test_the_newest_message_says_what_the_ledger_does_not_know() -> None:
    """The ledger was lost, or is of before: subscribers follow the message."""
    for ledger in (None, known()):
        state = carry_over(ledger, message(), 1_000)
        assert state is not None
        assert (state.epoch, state.seq, state.champion) == (5, 91, "d")
        assert state.arms["b"].phase == "quarantined"
        assert state.arms["d"].phase == "champion"
        assert state.arms["a"].phase == "candidate" if ledger is None else True
        assert state.eligible == ["a", "d"]
        assert state.weights == {"a": 0.2, "d": 0.8}


def test_pins_and_freezes_come_from_a_heartbeat_too() -> None:
    """They stand in its cause."""
    state = carry_over(None, message(cause={"pinned": "d", "frozen": True}), 1_000)
    assert state is not None
    assert (state.pinned, state.frozen) == ("d", True)


def test_an_older_message_only_raises_the_epoch_and_nothing_is_nothing() -> None:
    """What the ledger holds is newer than what was published."""
    state = carry_over(known(), message(seq=1), 1_000)
    assert state is not None
    assert (state.epoch, state.seq, state.champion) == (5, 90, "a")
    assert carry_over(None, None, 0) is None


def test_the_mark_is_no_reward_and_carries_the_states() -> None:
    """The learner passes over it; a replay begins with what it holds."""
    state = carry_over(known(), None, 1_000)
    assert state is not None
    value = encode_restart(
        {"r": state}, restarted_at_ms=1, counted_from="now", application="leverframe"
    )
    mark = replace(reward_record("a", 1.0), key=RESTART_KEY, value=value)
    assert is_restart(mark)
    out = learn(learning_runs([mark]), {}, routes(), max_value_bytes=10_000)
    assert not out.dead_letters
    assert not out.states
    assert states_at_begin([mark]) == {"r": state}
    assert states_at_begin([]) == states_at_begin([reward_record("a", 1.0)]) == {}
    with pytest.raises(LeverframeError, match="mark of a restart"):
        states_at_begin([replace(mark, value=b"{}")])


def test_a_state_that_moves_over_keeps_what_it_counted() -> None:
    """Labels, nursery and sums as they were; only the epoch goes up."""
    state = move_over(known(), None, 1_000)
    before = known()
    assert (state.epoch, state.seq, state.champion) == (5, 90, "a")
    assert state.arms == before.arms
    assert (state.weights, state.pinned) == (before.weights, "a")


def test_what_was_decided_there_meanwhile_holds() -> None:
    """Messages that were mirrored are newer than the export: phases are theirs, counts stay."""
    state = move_over(known(), message(epoch=6), 1_000)
    assert (state.epoch, state.champion, state.weights) == (7, "d", {"a": 0.2, "d": 0.8})
    assert {name: arm.phase for name, arm in state.arms.items()} == {
        "a": "candidate",
        "b": "quarantined",
        "c": "retired",
        "d": "champion",
    }
    assert (state.arms["a"].count, state.arms["c"].count) == (40, 60)
