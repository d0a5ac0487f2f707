"""What the dashboard asks an operator to look at."""

from typing import Any

import pytest
from control_records import T0, arms, message

from leverframe.agents.web.attention import Level, attention
from leverframe.agents.web.history import History
from leverframe.agents.web.summary import detail, summary


def levels(cause: dict[str, Any], now_ms: int = T0 + 1000, **more: Any) -> list[tuple[Level, str]]:
    history = History()
    history.note(message(1, T0, cause={"why": "heartbeat", **cause}, **more))
    return [(one.level, one.text) for one in attention(history.routes["r"], now_ms)]


def test_a_healthy_route_needs_no_look() -> None:
    """No reason is made up."""
    cause = {"arms": arms(a=0.6, b=0.5), "joins": {"prediction": 1000, "coverage": 0.9}}
    assert levels(cause) == []


@pytest.mark.parametrize(
    ("cause", "level", "says"),
    [
        (
            {"following": {"alarms": {"rollback_not_effective": {}}}},
            Level.critical,
            "still answers",
        ),
        ({"following": {"alarms": {"weights_not_followed": {}}}}, Level.warning, "shares"),
        ({"following": {"replicas": 3, "behind": ["w-1"]}}, Level.warning, "1 of 3 replicas"),
        ({"joins": {"prediction": 1000, "coverage": 0.01}}, Level.warning, "1.0%"),
        ({"pinned": "b"}, Level.notice, "pinned to b"),
        ({"frozen": True}, Level.notice, "frozen"),
    ],
)
def test_each_reason_has_its_level(cause: dict[str, Any], level: Level, says: str) -> None:
    """Alarms press more than what a person chose."""
    found = levels(cause)
    assert [one for one, _ in found] == [level]
    assert says in found[0][1]


def test_few_predictions_say_nothing_about_coverage() -> None:
    """A route that has just begun waits for its labels."""
    assert levels({"joins": {"prediction": 20, "coverage": 0.0}}) == []


def test_a_quota_that_is_too_small_is_told_while_it_is() -> None:
    """Not ten minutes after the newest request that was left out."""
    joins = {"prediction": 9_000, "over_quota": 1_200, "over_quota_ms": T0, "coverage": 0.9}
    ((level, text),) = levels({"joins": joins})
    assert level == Level.warning
    assert "1,200 of 9,000 requests were not counted" in text
    assert "max_requests_per_s" in text
    assert levels({"joins": joins | {"over_quota_ms": T0 - 600_000}}) == []


def test_no_label_is_an_answer_where_a_default_reward_stands_for_it() -> None:
    """Clicks of 3.9 % are no fault; that none ever came is one."""
    clicks = {"prediction": 9_000, "coverage": 0.039, "default_reward": 0.0, "expiry": 8_000}
    assert levels({"joins": clicks | {"labelled": 351}}) == []
    assert levels({"joins": clicks | {"coverage": 0.0, "revision": 351}}) == []
    assert levels({"joins": clicks | {"coverage": 0.0, "expiry": 900}}) == []
    text = "none of 8,000 predictions got a label"
    assert levels({"joins": clicks | {"coverage": 0.0}}) == [(Level.warning, text)]


def test_records_that_were_lost_are_told_on_every_route() -> None:
    """A green page over labels that count nowhere would be a lie."""
    history = History()
    history.note(message(1, T0, cause={"why": "heartbeat"}))
    known, lost = history.routes["r"], {"ground-truth": 1_200, "predictions": 0}
    told = summary(known, T0 + 1_000, lost)
    assert told["level"] == "critical"
    assert "1,200 of ground-truth" in told["reasons"][0]["text"]
    assert summary(known, T0 + 1_000, {"ground-truth": 0})["level"] == "fine"


def test_silence_is_critical_and_comes_first() -> None:
    """Beyond its ttl nobody speaks for the route."""
    found = levels({"frozen": True}, now_ms=T0 + 60_000)
    assert found[0] == (
        Level.critical,
        "no heartbeat for 60 s: serving systems use the safe weights",
    )
    assert found[1][0] == Level.notice


def test_a_decision_hides_nothing_that_a_heartbeat_told() -> None:
    """Alarms and what is held stay until the next heartbeat; a job that died then is silent too."""
    history = History()
    beat = {
        "why": "heartbeat",
        "frozen": True,
        "following": {"alarms": {"weights_not_followed": {}}},
    }
    history.note(message(1, T0, cause=beat))
    decided = {"why": "policy", "arms": arms(a=0.5, b=0.4)}
    history.note(message(2, T0 - 60_000, kind="routing", cause=decided), heard_ms=T0 + 500)
    known = history.routes["r"]
    assert [one.level for one in attention(known, T0 + 1000)] == [Level.warning, Level.notice]
    assert attention(known, T0 + 16_000)[0].level == Level.critical
    assert detail(known, T0)["frozen"]


def test_no_labels_for_the_champion_and_a_harmful_arm() -> None:
    """Verdicts of arms that have traffic."""
    known = arms(a=0.5, b=0.1)
    known["a"]["verdict"], known["b"]["verdict"] = "no_data", "harmful"
    texts = [text for _, text in levels({"arms": known})]
    assert texts == ["harmful and with traffic: b", "no labels reach the champion a"]


def test_a_rollback_is_told_for_an_hour() -> None:
    """Then it is history."""
    history = History()
    cause = {"why": "guard", "arm": "b"}
    history.note(message(1, T0, kind="rollback", cause=cause))
    history.note(message(2, T0 + 3_500_000, cause={"arms": arms(a=0.5)}))
    known = history.routes["r"]
    assert summary(known, T0 + 3_500_000)["reasons"][0]["text"] == "b was rolled back 58 min ago"
    assert summary(known, T0 + 3_510_000 + 100_000)["level"] == "critical"  # silent by then
    history.note(message(3, T0 + 3_700_000, cause={"arms": arms(a=0.5)}))
    assert summary(known, T0 + 3_700_000)["level"] == "fine"


def test_detail_has_the_evidence_of_each_arm() -> None:
    """Arms without labels have a weight alone."""
    history = History()
    cause = {"arms": arms(a=0.5), "joins": {"prediction": 3}, "frozen": True}
    history.note(message(1, T0, cause=cause))
    told = detail(history.routes["r"], T0)
    assert told["arms"]["a"]["mean"] == 0.5
    assert told["arms"]["b"] == {"weight": 0.25}
    assert told["frozen"]
    assert told["pinned"] is None
