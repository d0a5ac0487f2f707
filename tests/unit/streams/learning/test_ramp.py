"""A ramp: step by step behind a gate, by stream time and labels alone."""

from typing import Any

import pytest
from records import T0, command_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.narrate import headline, ramp_text, sentence
from leverframe.agents.web.marks import mark_of
from leverframe.agents.worker.notices import notice_of
from leverframe.schemas.causes import cause_of
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.delivery import ChangeWindow, RampSettings
from leverframe.streams.routes.settings import NamedParams

QUICK = {
    "steps": [5, 25, 50, 100],
    "dwell": "2s",
    "min_labels": 20,
    "gate": "not_harmful",
}
FIXED: dict[str, Any] = {
    "policy": NamedParams(name="static", params={"weights": {"a": 1.0}}),
    "nursery_labels": 0,
}

HALF = NamedParams(name="static", params={"weights": {"a": 0.5, "b": 0.5}})


def loop_of(seed: int = 1, **settings: Any) -> Loop:
    """A good champion with all of the traffic, and a second arm without any."""
    loop = Loop(seed, routes(**(FIXED | settings)))
    loop.begin("a", "b")
    loop.run(300, a=0.9, b=0.9)
    assert loop.state.weights == {"a": 1.0, "b": 0.0}
    return loop


def ramp(loop: Loop, arm: str | None = "b", **params: Any) -> list[str]:
    at = loop.at
    return loop.refused([command_record("ramp", arm=arm, params=params, at=at)])


def steps(loop: Loop) -> list[tuple[str, str, float]]:
    return [
        (message.cause["step"], message.cause["how"], message.cause["share"])
        for message in loop.why("ramp")
    ]


def test_ramp_goes_step_by_step_and_ends_with_a_champion() -> None:
    """Through its gates; weights by hand are then the new champion's."""
    loop = loop_of()
    assert not ramp(loop, **QUICK)
    assert loop.state.weights == {"a": 0.95, "b": 0.05}
    loop.run(2000, a=0.9, b=0.92)
    told = [one for one in steps(loop) if one[0] != "waiting"]
    assert told == [("moved", "gate", 0.25), ("moved", "gate", 0.5), ("done", "gate", 1.0)]
    assert loop.why("ramp")[-1].kind == "promotion"
    assert loop.state.champion == "b"
    assert loop.state.weights == {"a": 0.0, "b": 1.0}
    assert loop.state.ramp is None


def test_no_step_is_shorter_than_its_dwell_nor_has_fewer_labels() -> None:
    loop = loop_of()
    ramp(loop, **(QUICK | {"dwell": "5s", "min_labels": 30}))
    begun_ms = T0 + loop.at
    loop.run(4000, a=0.9, b=0.9)
    moved = [one for one in loop.why("ramp") if one.cause["step"] in {"moved", "done"}]
    assert [one.cause["share"] for one in moved] == [0.25, 0.5, 1.0]
    for message in moved:
        assert message.issued_at_ms - begun_ms >= 5000
        assert message.cause["labels"] >= 30
        begun_ms = message.issued_at_ms


def test_ramp_waits_for_labels_and_says_so_once() -> None:
    loop = loop_of()
    ramp(loop, **(QUICK | {"min_labels": 10_000}))
    loop.run(1000, a=0.9, b=0.9)
    assert steps(loop) == [("waiting", "labels", 0.05)]
    said = sentence(cause_of(loop.why("ramp")[0].cause))
    assert "waits for want of labels" in said
    assert "of at least 10,000" in said
    beat = heartbeat(loop.state, loop.route.get("r"), T0 + loop.at)
    assert ramp_text(beat.cause["ramp"]).startswith("ramp of b: [5], 25, 50, 100 %, ")
    notice = notice_of(loop.why("ramp")[0])
    assert notice is not None
    assert notice.event == "ramp_held"
    assert mark_of(loop.why("ramp")[0], loop.why("ramp")[0].cause, None).kind == "ramp"


def test_a_healthy_gate_takes_proof() -> None:
    """Few labels are inconclusive; with enough of them the arm is proved to be no worse."""
    loop = loop_of()
    ramp(loop, **(QUICK | {"steps": [50, 100], "gate": "healthy"}))
    loop.run(300, a=0.9, b=0.9)
    assert steps(loop) == [("waiting", "inconclusive", 0.5)]
    loop.run(4000, a=0.9, b=0.97)
    assert steps(loop)[-1] == ("done", "gate", 1.0)


def test_no_suspicion_of_the_champion_lifts_the_step() -> None:
    """A champion that falls is suspected, and the arm on its ramp has no more than its step.

    Without a ramp a probation would give it half of the traffic.
    """
    loop = loop_of()
    ramp(loop, **(QUICK | {"min_labels": 10**6}))
    loop.run(2500, a=0.7, b=0.95)
    assert loop.state.arms["a"].suspicion.is_on or loop.state.arms["a"].phase == "quarantined"
    ramped = [one for one in loop.messages if one.weights.get("b") and "a" not in one.quarantined]
    assert {one.weights["b"] for one in ramped} == {0.05}
    free = loop_of()
    shares = {"weights": {"a": 0.95, "b": 0.05}}
    free.take([command_record("set_weights", params=shares, at=free.at)])
    free.run(2500, a=0.7, b=0.95)
    assert free.why("probation")


def test_a_harmful_arm_is_rolled_back_and_its_ramp_is_over() -> None:
    loop = loop_of()
    ramp(loop, **QUICK)
    loop.run(3000, a=0.95, b=0.4)
    assert loop.state.arms["b"].phase == "quarantined"
    assert loop.state.ramp is None
    assert loop.state.weights == {"a": 1.0}
    assert all(step != "done" for step, _, _ in steps(loop))


@pytest.mark.parametrize(
    ("at_limit", "expected"),
    [("abort", ("aborted", "labels")), ("go_on", ("moved", "limit")), ("hold", None)],
)
def test_limit_says_what_becomes_of_a_ramp_that_waits(
    at_limit: str, expected: tuple[str, str] | None
) -> None:
    loop = loop_of()
    ramp(loop, **(QUICK | {"min_labels": 10_000, "limit": "10s", "at_limit": at_limit}))
    loop.run(900, a=0.9, b=0.9)
    after = [one[:2] for one in steps(loop) if one[0] != "waiting"]
    assert after[:1] == ([] if expected is None else [expected])
    if at_limit == "abort":
        assert loop.state.ramp is None
        assert loop.state.weights == {"a": 1.0, "b": 0.0}


def test_person_pauses_resumes_skips_and_aborts() -> None:
    loop = loop_of()
    ramp(loop, **QUICK)
    assert not ramp(loop, None, do="pause")
    loop.run(1000, a=0.9, b=0.9)
    assert loop.state.weights["b"] == 0.05
    assert ramp(loop, None, do="pause") == ["refused"]
    assert not ramp(loop, None, do="skip")
    assert loop.state.weights["b"] == 0.25
    assert not ramp(loop, None, do="resume")
    assert ramp(loop, None, do="resume") == ["refused"]
    assert not ramp(loop, None, do="abort")
    assert loop.state.weights == {"a": 1.0, "b": 0.0}
    assert ramp(loop, None, do="skip") == ["refused"]


def test_skipping_the_last_step_promotes() -> None:
    loop = loop_of()
    ramp(loop, **(QUICK | {"steps": [50, 100]}))
    assert not ramp(loop, None, do="skip")
    assert loop.messages[-1].kind == "promotion"
    assert loop.state.champion == "b"


@pytest.mark.parametrize(
    ("arm", "params", "reason"),
    [
        ("b", {"steps": [5, 5, 100]}, "invalid"),
        ("b", {"steps": [5, 50]}, "invalid"),
        ("b", {"steps": "5,100"}, "invalid"),
        ("b", {"dwell": "soon"}, "invalid"),
        ("b", {"dwell": 5}, "invalid"),
        ("b", {"min_labels": -1}, "invalid"),
        ("b", {"gate": "perhaps"}, "invalid"),
        ("b", {"at_limit": "panic"}, "invalid"),
        ("b", {"pace": 3}, "invalid"),
        ("b", {"do": "dance"}, "invalid"),
        ("b", {"do": []}, "invalid"),
        ("b", {"gate": []}, "invalid"),
        ("b", {"at_limit": {}}, "invalid"),
        ("b", {"min_labels": 10**18}, "invalid"),
        ("b", {"dwell": "9" * 30 + "d"}, "invalid"),
        ("b", {"dwell": "-5m"}, "invalid"),
        ("b", {"limit": "0s"}, "invalid"),
        ("b", {"steps": [100]}, "invalid"),
        ("b", {"steps": [*(n / 100 for n in range(1, 10_000)), 100]}, "invalid"),
        ("zebra", {}, "unknown_arm"),
        ("a", {}, "refused"),
    ],
)
def test_what_makes_no_sense_is_refused(arm: str, params: dict[str, Any], reason: str) -> None:
    loop = loop_of()
    before = state_digest(loop.state)
    assert ramp(loop, arm, **params) == [reason]
    assert state_digest(loop.state) == before


def test_one_ramp_at_a_time() -> None:
    loop = loop_of()
    ramp(loop, **QUICK)
    assert ramp(loop, **QUICK) == ["refused"]


def test_new_arms_ramp_where_the_settings_say_so() -> None:
    """From its first reward on, instead of the nursery's share."""
    plan = RampSettings(new_arms=True, steps=[2.0, 100.0], dwell="1s", min_labels=0)
    loop = Loop(1, routes(ramp=plan, promote=False))
    loop.begin("a")
    loop.run(200, a=0.9)
    loop.label("b", 1.0)
    assert loop.state.ramp is not None
    assert loop.state.weights["b"] == pytest.approx(0.02)


def test_window_holds_ramps_and_promotions_and_no_rollback() -> None:
    """``T0`` is a Tuesday, 22:13 in UTC."""
    window = ChangeWindow(days=["mon"])
    loop = loop_of(change_window=window)
    ramp(loop, **(QUICK | {"steps": [50, 100]}))
    loop.run(800, a=0.9, b=0.9)
    assert steps(loop)[-1] == ("waiting", "window", 0.5)
    for settings, promotions in (({}, 1), ({"change_window": window}, 0)):
        free = Loop(2, routes(policy=HALF, **settings))
        free.begin("a", "b")
        free.run(3000, a=0.8, b=0.9)
        assert len(free.why("better")) == promotions
    loop.run(2000, a=0.95, b=0.4)
    assert loop.state.arms["b"].phase == "quarantined"


def test_ramp_does_not_depend_on_how_records_were_cut() -> None:
    loop = loop_of()
    ramp(loop, **QUICK)
    loop.run(2500, a=0.9, b=0.9)
    for size in (1, 7, 500):
        again = Loop(0, loop.route)
        for at in range(0, len(loop.records), size):
            again.take(loop.records[at : at + size])
        assert state_digest(again.state) == state_digest(loop.state)
        assert steps(again) == steps(loop)


def test_every_step_has_its_words() -> None:
    for step, how in (("moved", "limit"), ("aborted", "labels"), ("waiting", "cooldown")):
        cause = cause_of(
            {
                "why": "ramp",
                "arm": "b",
                "step": step,
                "how": how,
                "share": 0.25,
                "at": 2,
                "of": 4,
                "labels": 7,
                "min_labels": 20,
                "verdict": "healthy",
            }
        )
        assert "b" in headline(cause)
        assert "b" in sentence(cause)


@pytest.mark.parametrize(
    ("settings", "waits_for"),
    [
        ({"promote": "propose"}, "approval"),
        ({"change_window": ChangeWindow(not_before="2090-01-01")}, "window"),
    ],
)
def test_a_limit_lifts_neither_approval_nor_window(settings: Any, waits_for: str) -> None:
    """``go_on`` goes on without labels or verdict, and nothing else."""
    loop = loop_of(**settings)
    plan = {"steps": [50, 100], "min_labels": 10_000, "limit": "1s", "at_limit": "go_on"}
    ramp(loop, **(QUICK | plan))
    loop.run(800, a=0.9, b=0.9)
    assert steps(loop)[-1] == ("waiting", waits_for, 0.5)
    assert loop.state.champion == "a"


def test_promotion_by_hand_ends_the_ramp() -> None:
    """Also one that is paused: what it bounded is then the policy's again."""
    loop = loop_of()
    ramp(loop, **QUICK)
    ramp(loop, None, do="pause")
    assert not loop.refused([command_record("promote", "b", at=loop.at)])
    assert (loop.state.champion, loop.state.ramp) == ("b", None)
    assert loop.state.weights == {"a": 1.0, "b": 0.0}


def test_a_pause_is_no_part_of_the_dwell_and_outlives_a_skip() -> None:
    loop = loop_of()
    ramp(loop, **(QUICK | {"dwell": "5s", "limit": "1s", "at_limit": "abort"}))
    ramp(loop, None, do="pause")
    loop.run(1000, a=0.9, b=0.9)
    assert not ramp(loop, None, do="skip")
    assert loop.state.ramp is not None
    assert loop.state.ramp.is_paused
    ramp(loop, None, do="resume")
    loop.run(100, a=0.9, b=0.9)
    assert not steps(loop)


def test_nothing_moves_on_in_the_cooldown_after_a_rollback() -> None:
    loop = loop_of()
    loop.label("c", 1.0)
    ramp(loop, "c", **QUICK)
    loop.refused([command_record("rollback", "b", at=loop.at)])
    loop.run(600, a=0.9, c=0.9)
    assert loop.at < loop.state.cooldown_until_ms - T0
    assert steps(loop) == [("waiting", "cooldown", 0.05)]


def test_heartbeats_say_for_what_a_ramp_waits_without_any_label() -> None:
    loop = loop_of()
    ramp(loop, **QUICK)
    beat = heartbeat(loop.state, loop.route.get("r"), T0 + loop.at + 10_000)
    assert beat.cause["ramp"]["waits_for"] == "labels"


def test_the_last_moment_of_the_calendar_is_a_time_too() -> None:
    """In a zone east of UTC."""
    for days, is_open in ((["fri"], True), (["mon"], False)):
        window = ChangeWindow(days=days, time_zone="Asia/Tokyo")  # type: ignore[arg-type]
        assert routes(change_window=window).get("r").may_change(253_402_300_799_999) is is_open  # type: ignore[union-attr]
