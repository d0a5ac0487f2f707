"""Probation: a suspect's share is bounded until labels convict or acquit it."""

import random
from itertools import pairwise
from typing import Any

from records import command_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.explain import explain, sentences
from leverframe.agents.web.marks import mark_of
from leverframe.agents.worker.notices import notice_of
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.probation import on_probation
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.settings import GuardSettings, NamedParams

MOST = {"policy": NamedParams(name="newest"), "floor": 0.1, "promote": False}


def suspected(seed: int, **settings: Any) -> Loop:
    """``b`` has all of the traffic but the floor, and was good for 2,000 requests."""
    loop = Loop(seed, routes(**(MOST | settings)))
    loop.begin("a", "b")
    loop.run(2000, a=0.95, b=0.95)
    return loop


def test_suspect_is_put_on_probation_and_convicted() -> None:
    """Within 30 labels it has half, its reference the other; within 150 it is rolled back."""
    loop = suspected(1)
    before = loop.state.arms["b"].count
    loop.run(30, a=0.95, b=0.4)
    assert loop.state.weights == {"a": 0.5, "b": 0.5}
    loop.run(250, a=0.95, b=0.4)
    assert loop.state.arms["b"].phase == "quarantined"
    assert loop.state.arms["b"].count - before < 150
    assert loop.state.probation is None
    (begun,) = loop.why("probation")
    assert begun.kind == "routing"
    assert begun.cause["how"] == "fallen"
    assert begun.cause["mean_before"] > 0.9
    assert begun.cause["mean"] < 0.7


def test_world_that_falls_acquits_the_suspect() -> None:
    """Both fall: the probation ends as shared, nobody is rolled back."""
    loop = suspected(2)
    loop.run(1500, a=0.6, b=0.6)
    steps = [(message.cause["step"], message.cause["how"]) for message in loop.why("probation")]
    assert steps[:2] == [("begun", "fallen"), ("ended", "shared")]
    assert loop.state.probation is None
    assert loop.state.weights["b"] == 0.95
    assert not loop.why("guard")


def test_pin_and_freeze_win_over_a_probation() -> None:
    """A person's word ends a probation, and none begins meanwhile."""
    for action, arm in (("pin", "b"), ("freeze", None)):
        loop = suspected(3)
        loop.take([command_record(action, arm, loop.at)])
        held = dict(loop.state.weights)
        loop.run(25, a=0.95, b=0.4)
        assert not loop.why("probation")
        assert loop.state.weights == held
        loop = suspected(3)
        loop.run(25, a=0.95, b=0.4)
        assert loop.state.probation is not None
        loop.take([command_record(action, arm, loop.at)])
        loop.run(2, a=0.95, b=0.95)
        assert loop.why("probation")[-1].cause["how"] == "overruled"
        assert loop.state.probation is None


def test_probation_can_be_switched_off_or_made_gentler() -> None:
    """``probation_share = 0``: shares stay; 0.2: the suspect has a fifth."""
    loop = suspected(4, guard=GuardSettings(probation_share=0.0))
    loop.run(40, a=0.95, b=0.4)
    assert not loop.why("probation")
    assert loop.state.weights["b"] == 0.95
    loop = suspected(4, guard=GuardSettings(probation_share=0.2))
    loop.run(40, a=0.95, b=0.4)
    assert loop.state.weights == {"a": 0.8, "b": 0.2}


def test_others_keep_their_least_share() -> None:
    """The reference goes first among the rest; who has less than the least keeps what it has."""
    wanted = {"a": 0.1, "b": 0.8, "c": 0.09, "d": 0.01}
    shares = on_probation(wanted, "b", "a", 0.5, {"c": 0.02, "d": 0.02})
    assert shares == {"a": 0.47, "b": 0.5, "c": 0.02, "d": 0.01}
    assert on_probation({"a": 0.6, "b": 0.4}, "b", "a", 0.5, {}) == {"a": 0.6, "b": 0.4}


def test_probation_is_told_everywhere() -> None:
    """Explain, mark, webhook and heartbeat name the suspect and its reference."""
    loop = suspected(5)
    loop.run(30, a=0.95, b=0.4)
    (begun,) = loop.why("probation")
    (change,) = explain(loop.messages[: loop.messages.index(begun) + 1], None, 1)
    told = "\n".join(sentences(change))
    assert "b is on probation: its labels fell below its own past" in told
    assert "it has at most 0.5 of the traffic, and a labels first" in told
    assert "b fell from 0.950 to 0.500" in told
    assert mark_of(begun, begun.cause, None).kind == "probation"
    notice = notice_of(begun)
    assert notice is not None
    assert notice.event == "probation"
    beat = heartbeat(loop.state, loop.route.get("r"), loop.at)
    assert beat.cause["probation"] == {
        "arm": "b",
        "compared_with": "a",
        "since_ms": begun.issued_at_ms,
        "share": 0.5,
    }


def test_probation_does_not_depend_on_micro_batches() -> None:
    """The same records give the same messages and digest, cut anyhow."""
    loop = suspected(6)
    loop.run(400, a=0.95, b=0.6)
    assert loop.why("probation")
    rng = random.Random(6)
    cuts = [rng.randrange(len(loop.records)) for _ in range(60)]
    again = Loop(0, loop.route)
    for begin, end in pairwise([0, *sorted(cuts), len(loop.records)]):
        again.take(loop.records[begin:end])
    assert state_digest(again.state) == state_digest(loop.state)
    assert again.messages == loop.messages
