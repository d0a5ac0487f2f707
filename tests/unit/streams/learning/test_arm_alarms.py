"""Alarms that the arms raise: only one is labelled, or none is."""

from typing import Any

from records import T0, Record, reward_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.narrate import sentence
from leverframe.agents.web.attention import Level, _alarms
from leverframe.schemas.causes import ALARMS, cause_of
from leverframe.schemas.codec import encode
from leverframe.schemas.traffic import ServedCount, Traffic
from leverframe.streams.learning.alarms import label_alarms
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.settings import NamedParams

HALVES: dict[str, Any] = {
    "policy": NamedParams(name="ab_test", params={"labels_per_arm": 1_000_000}),
    "nursery_labels": 10,
}


def traffic(at_ms: int, served: int, labelled: int) -> Traffic:
    counts = [ServedCount(arm="a", count=served, from_ms=T0 + at_ms)]
    joins = {"labelled": labelled} if labelled else {}
    return Traffic(route="r", served=counts, until_ms=T0 + at_ms, joins=joins)


def collapsed(labels: int, every_ms: int) -> Loop:
    """Two arms, of which only one is labelled any more."""
    loop = Loop(1, routes(**HALVES), every_ms)
    loop.begin("a", "b")
    loop.run(200, a=0.9, b=0.9)
    for _ in range(labels):
        loop.label("a", 1.0)
    return loop


def test_collapse_of_exploration_raises_an_alarm() -> None:
    """Many labels of one arm alone, and for long; said once, and over when another is labelled."""
    loop = collapsed(700, 200)
    (alarm,) = loop.why("exploration_collapse")
    assert alarm.cause["arm"] == "a"
    assert alarm.cause["labels"] >= 500
    assert "only a of 2 arms gets labels any more" in sentence(cause_of(alarm.cause))
    beat = heartbeat(loop.state, loop.route.get("r"), loop.at)
    (found,) = _alarms(beat.cause)
    assert found.level is Level.warning
    loop.label("b", 1.0)
    loop.run(400, a=0.9, b=0.9)
    assert "exploration_collapse" not in loop.state.loop.alarms


def test_few_labels_or_a_short_while_are_no_collapse() -> None:
    """Chance leaves a small arm without labels for a while."""
    assert not collapsed(300, 1000).why("exploration_collapse")
    assert not collapsed(700, 20).why("exploration_collapse")


def test_label_outage_raises_an_alarm() -> None:
    """Predictions come and labels do not, for longer than labels took so far."""
    loop = Loop(2, routes(**HALVES))
    loop.begin("a", "b")
    loop.run(200, a=0.9, b=0.9)
    state, route = loop.state, loop.route.get("r")
    before = state_digest(state)
    raised: list[str] = []
    for at_s in range(200):
        raised += label_alarms(state, route, traffic(at_s * 1000, 10, int(at_s < 60)))
        if at_s < 120:
            assert not raised
    assert raised == ["label_outage"]
    assert state.loop.alarms["label_outage"].evidence["predictions"] > 200
    for at_s in range(200, 300):
        label_alarms(state, route, traffic(at_s * 1000, 10, 1))
    assert not state.loop.alarms
    assert state_digest(state) == before


def test_labels_that_always_took_long_are_no_outage() -> None:
    """A day between bursts is as usual, where labels took a day so far."""
    loop = Loop(3, routes(**HALVES))
    loop.begin("a", "b")
    late: list[Record] = [
        reward_record("a", 1.0, loop.at + i, predicted_at_ms=T0 + loop.at + i - 86_400_000)
        for i in range(300)
    ]
    loop.take(late)
    state, route = loop.state, loop.route.get("r")
    label_alarms(state, route, traffic(0, 10, 5))
    assert not label_alarms(state, route, traffic(80_000_000, 1000, 0))
    assert label_alarms(state, route, traffic(200_000_000, 1000, 0))


def test_every_alarm_can_be_written_on_traffic() -> None:
    """The route's alarm goes out as a control message when the traffic record says so."""
    assert {"no_good_arm", "exploration_collapse", "label_outage"} <= ALARMS
    loop = Loop(4, routes(**HALVES))
    loop.begin("a", "b")
    told = [traffic(1000, 10, 5), traffic(200_000, 500, 0)]
    loop.take([Record(b"r", encode(one), one.until_ms, "traffic") for one in told])
    (alarm,) = loop.why("label_outage")
    assert alarm.kind == "routing"
    assert "label" in sentence(cause_of(alarm.cause))
