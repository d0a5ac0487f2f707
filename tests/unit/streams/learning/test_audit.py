"""The audit trail: each command and each decision once, with who, why and on which state."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    command_record,
    learning_runs,
    reward_record,
    routes,
)
from traffic_loop import Loop

from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.codec import decode, encode
from leverframe.streams.learning.state import decode_route, encode_route, state_digest
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.settings import NamedParams

HALF: dict[str, Any] = {
    "policy": NamedParams(name="static", params={"weights": {"a": 0.5, "b": 0.5}}),
    "nursery_labels": 0,
}


def told(loop: Loop, *kinds: str) -> list[AuditEvent]:
    return [event for event in loop.audit if event.event in kinds]


def rolled_back() -> Loop:
    """``b`` breaks; the guard takes it off."""
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    loop.run(600, a=0.9, b=0.9)
    while loop.messages[-1].kind != "rollback":
        assert loop.at < 100_000
        loop.run(10, a=0.9, b=0.2)
    return loop


def test_a_rollback_stands_on_its_evidence() -> None:
    loop = rolled_back()
    [event] = told(loop, "rollback")
    message = next(one for one in loop.messages if one.kind == "rollback")
    assert event.actor == "leverframe"
    assert (event.arm, event.outcome) == ("b", "done")
    assert (event.epoch, event.seq) == (message.epoch, message.seq)
    assert event.evidence == message.cause
    assert event.evidence["log_evidence"] >= event.evidence["log_threshold"]
    assert event.state_digest == message.state_digest
    assert event.at_ms == message.issued_at_ms


def test_the_verdict_comes_before_what_it_leads_to() -> None:
    loop = rolled_back()
    last = [event for event in loop.audit if event.arm == "b"][-2:]
    assert [event.event for event in last] == ["verdict", "rollback"]
    verdict, rollback = last
    assert verdict.evidence["verdict"] == "harmful"
    assert verdict.evidence["before"] == "inconclusive"
    assert verdict.evidence["compared_with"] == "a"
    assert set(verdict.evidence["arms"]) == {"a", "b"}
    assert (verdict.epoch, verdict.seq) == (rollback.epoch, rollback.seq)
    assert verdict.state_digest == rollback.state_digest


def test_verdicts_are_told_when_they_change_and_only_then() -> None:
    loop = rolled_back()
    for arm in ("a", "b"):
        said = [e.evidence for e in told(loop, "verdict") if e.arm == arm]
        assert said
        for one, after in zip(said, said[1:], strict=False):
            assert one["verdict"] == after["before"] != after["verdict"]


def test_a_command_is_told_with_what_it_asked() -> None:
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    weights = {"weights": {"a": 0.7, "b": 0.3}}
    asked = command_record("set_weights", None, loop.at, actor="ada", params=weights)
    assert not loop.refused([asked])
    [event] = told(loop, "command")
    assert (event.actor, event.action, event.outcome) == ("ada", "set_weights", "done")
    assert event.params == weights
    assert not event.signed
    assert event.seq == loop.state.seq
    assert event.evidence["arms"]["b"]["labels"] == 1
    assert event.state_digest == state_digest(loop.state)


def test_a_command_that_is_sent_twice_is_told_once() -> None:
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    asked = command_record("freeze", None, loop.at, command_id="once")
    loop.take([asked, asked])
    loop.take([asked])
    assert [event.command_id for event in told(loop, "command")] == ["once"]


@pytest.mark.parametrize(
    ("record", "reason", "epoch"),
    [
        (command_record("promote", "zed", actor="ada"), "unknown_arm", 0),
        (command_record("unfreeze", actor="ada"), "refused", 0),
        (command_record("freeze", actor="ada", route="other"), "unknown_route", 0),
    ],
)
def test_what_is_refused_is_told_with_the_reason(record: Record, reason: str, epoch: int) -> None:
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    before = state_digest(loop.state)
    assert loop.refused([record]) == [reason]
    [event] = told(loop, "command")
    assert (event.actor, event.outcome, event.reason) == ("ada", "refused", reason)
    assert event.detail
    assert event.epoch == epoch
    assert event.state_digest == (before if event.route == "r" else "")
    assert event.evidence == {"record": {"partition": 0, "offset": record.offset}}


def test_what_no_command_is_is_a_dead_letter_alone() -> None:
    """Bytes that nobody can read, and the job's own ``decide`` in a place that is not its own."""
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    broken = Record(b"r", b"{", T0, topic="commands")
    own = command_record("decide", None, route="other", params={"due_ms": 5})
    assert loop.refused([broken, own]) == ["unreadable", "unknown_route"]
    assert not told(loop, "command")


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_an_answer_is_told_with_what_was_proposed(action: str) -> None:
    """The proposal is gone from the state by then."""
    loop = Loop(3, routes(**HALF, promote="propose", approval_s=3600.0))
    loop.begin("a", "b")
    while not loop.why("proposal"):
        assert loop.at < 100_000
        loop.run(20, a=0.85, b=0.95)
    assert not loop.refused([command_record(action, None, loop.at, actor="ada")])
    proposed, answered = told(loop, "proposal", "command")
    assert proposed.evidence["step"] == "proposed"
    assert (answered.actor, answered.action) == ("ada", action)
    assert answered.evidence["proposal"]["log_evidence"] == proposed.evidence["log_evidence"]
    assert answered.evidence["proposal"]["arm"] == "b"


def test_settings_are_told_also_where_nobody_is_told_of_them() -> None:
    """A route without arms has no control message."""
    loop = Loop(3, routes(**HALF))
    asked = {"settings": {"ttl_s": 30.0}}
    assert not loop.refused([command_record("configure", actor="ada", params=asked)])
    loop.begin("a")
    assert not loop.refused([command_record("configure", None, 30, actor="bob", params=asked)])
    before, after = told(loop, "command")
    assert (before.actor, before.epoch, before.seq) == ("ada", 0, 0)
    assert before.params == after.params == asked
    assert set(before.evidence) == {"record", "arms"}
    assert (after.actor, after.seq) == ("bob", loop.messages[-1].seq)
    assert after.evidence["why"] == "command"


@pytest.mark.parametrize("params", [{"x": 2**70}, {"x": "y" * 20_000}])
def test_params_that_cannot_be_kept_are_left_out(params: dict[str, Any]) -> None:
    """They would end the job, or fill a topic that is kept for a year."""
    raw = command_record("freeze", None, 100).value or b""
    huge = raw.replace(b'"action"', b'"params":{"x":%s},"action"' % _json(params["x"]))
    loop = Loop(3, routes(**HALF))
    loop.begin("a", "b")
    assert not loop.refused([Record(b"r", huge, T0 + 100, topic="commands")])
    [event] = told(loop, "command")
    assert event.params is None
    assert event.params_cut
    assert decode(AuditEvent, encode(event)) == event


def _json(value: Any) -> bytes:
    return b"%d" % value if isinstance(value, int) else b'"%s"' % value.encode()


def test_a_step_of_the_policy_is_no_event() -> None:
    loop = Loop(3, routes(nursery_labels=20, promote=False))
    loop.begin("a", "b")
    loop.run(500, a=0.6, b=0.4)
    assert loop.why("policy")
    assert len(told(loop, "registered")) == 2
    assert {one.event for one in loop.audit} == {"registered", "verdict"}


HISTORY = [
    *rolled_back().records,
    command_record("freeze", None, 100_000, command_id="f"),
    command_record("freeze", None, 100_001, command_id="g"),
    reward_record("a", 1.0, 100_500),
    command_record("unfreeze", None, 100_600, command_id="u"),
    command_record("release", "b", 100_700, command_id="r"),
    reward_record("b", 1.0, 200_500),
]


def events_of(cuts: list[int]) -> list[AuditEvent]:
    states: dict[str, bytes] = {}
    events: list[AuditEvent] = []
    bounds = [0, *cuts, len(HISTORY)]
    for begin, end in zip(bounds, bounds[1:], strict=False):
        known = {name: decode_route(raw) for name, raw in states.items()}
        batch = learning_runs(HISTORY[begin:end])
        out = learn(batch, known, routes(**HALF), max_value_bytes=MAX_VALUE_BYTES)
        states |= {name: encode_route(state) for name, state in out.states.items()}
        events += out.audit
    return events


WHOLE = events_of([])


@given(st.lists(st.integers(0, len(HISTORY)), max_size=12).map(sorted))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_however_records_are_cut_the_audit_is_the_same(cuts: list[int]) -> None:
    """Byte for byte, and there is something of everything in it."""
    assert {event.event for event in WHOLE} >= {"command", "verdict", "rollback", "registered"}
    assert {event.outcome for event in WHOLE} == {"done", "refused"}
    assert [encode(event) for event in events_of(cuts)] == [encode(event) for event in WHOLE]
