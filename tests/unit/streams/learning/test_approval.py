"""Promotions that wait for a person: proposed, approved, rejected, lapsed; rollback never waits."""

from typing import Any

import pytest
from records import T0, command_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.narrate import headline, proposal_text, sentence
from leverframe.agents.worker.notices import notice_of
from leverframe.schemas.causes import cause_of
from leverframe.streams.learning.measured import RouteMetrics
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import NamedParams

HALF: dict[str, Any] = {
    "policy": NamedParams(name="static", params={"weights": {"a": 0.5, "b": 0.5}}),
    "promote": "propose",
    "approval_s": 30.0,
    "nursery_labels": 0,
}


def proved(**settings: Any) -> Loop:
    """``b`` is better, and that is proved."""
    loop = Loop(3, routes(**(HALF | settings)))
    loop.begin("a", "b")
    while not loop.why("proposal"):
        assert loop.at < 100_000
        loop.run(20, a=0.85, b=0.93)
    return loop


def ask(loop: Loop, action: str, arm: str | None = None) -> list[str]:
    return loop.refused([command_record(action, arm=arm, at=loop.at)])


def test_proof_is_proposed_once_and_changes_nothing() -> None:
    loop = proved()
    loop.run(200, a=0.85, b=0.93)
    [told] = loop.why("proposal")
    assert loop.state.champion == "a"
    assert loop.state.weights == {"a": 0.5, "b": 0.5}
    assert told.cause["log_evidence"] >= told.cause["log_threshold"]
    assert "b is proposed as champion, and waits for a person: mean 0.9" in sentence(
        cause_of(told.cause)
    )
    notice = notice_of(told)
    assert notice is not None
    assert notice.event == "proposal"
    beat = heartbeat(loop.state, loop.route.get("r"), T0 + loop.at)
    assert proposal_text(beat.cause["proposal"]).startswith("b is proposed as champion until 2023")


def test_approval_promotes_and_stands_in_the_history() -> None:
    loop = proved()
    assert not ask(loop, "approve")
    assert loop.messages[-1].kind == "promotion"
    assert loop.state.champion == "b"
    assert loop.state.proposal is None
    [reign] = loop.state.last_known_good
    assert (reign.arm, reign.successor, reign.approved_by) == ("a", "b", "test")
    assert reign.log_evidence == loop.why("proposal")[0].cause["log_evidence"]
    assert ask(loop, "approve") == ["refused"]


def test_an_arm_that_a_guardrail_doubts_is_not_approved() -> None:
    """The evidence came after the proposal; a person is told, and can still reject."""
    loop = proved(metrics={"error": MetricSettings(role="guardrail", range=(0, 1))})
    loop.state.measured = RouteMetrics(suspects=["b"])
    assert ask(loop, "approve") == ["refused"]
    assert loop.state.champion == "a"
    assert not ask(loop, "reject")


def test_rejection_holds_the_arm_for_a_while() -> None:
    """It is proposed again once the time is over and it is still proved."""
    loop = proved()
    assert ask(loop, "reject", "a") == ["refused"]
    assert not ask(loop, "reject", "b")
    rejected_at = loop.at
    loop.run(1000, a=0.85, b=0.93)
    assert loop.at - rejected_at == 20_000
    assert len(loop.why("proposal")) == 1
    loop.run(1000, a=0.85, b=0.93)
    assert [one.cause["step"] for one in loop.why("proposal")] == ["proposed", "proposed"]
    assert loop.state.champion == "a"


def test_a_proposal_that_nobody_answers_lapses_and_comes_again() -> None:
    loop = proved()
    loop.run(1600, a=0.85, b=0.93)
    told = [one.cause["step"] for one in loop.why("proposal")]
    assert told == ["proposed", "lapsed", "proposed"]
    assert "nobody answered" in headline(cause_of(loop.why("proposal")[1].cause))


def test_rollback_waits_for_nobody() -> None:
    """The proposed arm breaks: it is rolled back, and its proposal is gone."""
    loop = proved()
    loop.run(1000, a=0.9, b=0.3)
    assert loop.state.arms["b"].phase == "quarantined"
    assert loop.state.proposal is None
    assert ask(loop, "approve") == ["refused"]


def test_ramp_asks_before_its_last_step() -> None:
    loop = Loop(1, routes(**(HALF | {"approval_s": 3600.0})))
    loop.begin("a", "b")
    loop.run(200, a=0.9, b=0.9)
    plan = {"steps": [20, 60, 100], "dwell": "1s", "min_labels": 5, "gate": "not_harmful"}
    assert not loop.refused([command_record("ramp", arm="b", params=plan, at=loop.at)])
    loop.run(600, a=0.9, b=0.9)
    assert loop.state.weights["b"] == pytest.approx(0.6)
    assert loop.why("ramp")[-1].cause["how"] == "approval"
    assert loop.state.champion == "a"
    assert not ask(loop, "approve", "b")
    assert (loop.state.champion, loop.state.ramp) == ("b", None)
    assert loop.state.weights == {"a": 0.0, "b": 1.0}


def test_a_replay_comes_to_the_same_digest() -> None:
    loop = proved()
    ask(loop, "reject")
    loop.run(1700, a=0.85, b=0.93)
    ask(loop, "approve")
    again = Loop(0, loop.route)
    for at in range(0, len(loop.records), 7):
        again.take(loop.records[at : at + 7])
    assert state_digest(again.state) == state_digest(loop.state)


def test_a_proposal_ends_with_what_it_stood_on() -> None:
    """With the ramp that asked for it, and with the champion that it was proved against."""
    loop = Loop(1, routes(**(HALF | {"approval_s": 3600.0})))
    loop.begin("a", "b", "c")
    loop.run(200, a=0.9, b=0.9, c=0.9)
    plan = {"steps": [60, 100], "dwell": "1s", "min_labels": 5, "gate": "not_harmful"}
    loop.refused([command_record("ramp", arm="b", params=plan, at=loop.at)])
    loop.run(200, a=0.9, b=0.9, c=0.9)
    assert loop.state.proposal is not None
    loop.refused([command_record("ramp", params={"do": "abort"}, at=loop.at)])
    assert loop.state.proposal is None
    loop = proved()
    loop.label("c", 1.0)
    loop.refused([command_record("promote", "c", at=loop.at)])
    assert loop.state.proposal is None


def test_who_was_promoted_is_named_where_the_command_did_not() -> None:
    loop = proved()
    ask(loop, "approve")
    assert sentence(cause_of(loop.messages[-1].cause)) == "command approve b by test"
