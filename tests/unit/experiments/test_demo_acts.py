"""The judgement of the demo's acts: labels decide, and a failure has its own true reason."""

from typing import Any, Literal

import pytest
from msgspec.structs import replace

from leverframe.experiments.demo.acts import Act, Seen, judge, tell_progress

WELL = Seen(labels=10, share=0.2, is_off=False, act_s=20, silent_s=0.1, left_s=500)
LEAD = Act(goal="labels", labels=300, arm="b")
SHIFT = Act(goal="traffic", labels=40_000, arm="b")
ROLLBACK = Act(goal="rollback", labels=40_000, arm="b", is_rollback_wrong=False)


@pytest.mark.parametrize("act", [LEAD, SHIFT, ROLLBACK], ids=lambda act: act.goal)
def test_a_slow_machine_is_waited_for(act: Act) -> None:
    """Labels that trickle in are no failure, whatever the time it takes."""
    assert not judge(act, replace(WELL, act_s=590)).is_over


@pytest.mark.parametrize(
    ("act", "reached"),
    [(LEAD, {"labels": 300}), (SHIFT, {"share": 0.51}), (ROLLBACK, {"is_off": True})],
)
def test_a_goal_that_is_reached_counts(act: Act, reached: dict[str, Any]) -> None:
    """Also when everything else is at its end."""
    judgement = judge(act, replace(WELL, silent_s=999, left_s=-1, **reached))
    assert judgement.is_over
    assert judgement.failure is None


@pytest.mark.parametrize(
    ("act", "seen", "reason"),
    [
        (SHIFT, {"is_off": True}, "b was rolled back before it was broken; 10 labels had come"),
        (LEAD, {"is_off": True}, "b was rolled back before it was broken"),
        (SHIFT, {"labels": 40_000}, "most of the traffic (it has 20%) within 40,000 labels"),
        (ROLLBACK, {"labels": 40_001}, "b was broken, and not rolled back within 40,000 labels"),
        (LEAD, {"silent_s": 130}, "no label came for 130 s; only 10 of 300 labels had come"),
        (LEAD, {"left_s": -1}, "the time was up (--duration): only 10 of 300 labels had come"),
        (SHIFT, {"left_s": 0}, "the time was up (--duration): b did not get most of the traffic"),
        (ROLLBACK, {"left_s": 0}, "the time was up (--duration): b was broken, and not rolled"),
    ],
)
def test_a_failure_names_its_reason(act: Act, seen: dict[str, Any], reason: str) -> None:
    """The one that ended the demo, and no other."""
    failure = judge(act, replace(WELL, **seen)).failure
    assert failure is not None
    assert reason in failure


@pytest.mark.parametrize("goal", ["labels", "traffic", "rollback"])
def test_progress_tells_a_slow_machine(goal: Literal["labels", "traffic", "rollback"]) -> None:
    """Said when less than half of the rate comes through, and not on a machine at ease."""
    act = Act(goal=goal, labels=6000, arm="b")
    slow = tell_progress(act, replace(WELL, labels=1200, act_s=20), 600)
    assert slow.startswith("1,200 ")
    assert "60 of 600 a second come through, so it takes longer" in slow
    assert "longer" not in tell_progress(act, replace(WELL, labels=1200, act_s=2), 600)
