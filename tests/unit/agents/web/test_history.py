"""What the dashboard keeps of control messages: bounded, thinned, marked, explainable."""

import math
from itertools import pairwise

from control_records import GUARD, NOT_EFFECTIVE, T0, arms, commanded, message
from hypothesis import given
from hypothesis import strategies as st

from leverframe.agents.web.history import FIELDS, History
from leverframe.agents.web.retention import IN_FULL, Retention, retention_for
from leverframe.agents.web.summary import summary
from leverframe.schemas.control import ControlKind
from leverframe.streams.topology import DAY_MS

HOUR_MS = 3_600_000


def test_old_and_repeated_messages_change_nothing() -> None:
    """Only a higher (epoch, seq) is taken in."""
    history = History()
    assert history.note(message(5, T0))
    assert not history.note(message(5, T0 + 1))
    assert not history.note(message(4, T0 + 2, epoch=1))
    assert history.note(message(1, T0 + 3, epoch=2))
    assert history.routes["r"].newest.epoch == 2


def test_a_day_of_heartbeats_is_kept_in_bounded_memory() -> None:
    """Ten seconds within the last hour, five minutes before it, nothing older than a day."""
    history = History()
    every_ms = 5_000
    for seq in range(30 * HOUR_MS // every_ms):
        history.note(message(seq + 1, T0 + seq * every_ms))
    known = history.routes["r"]
    at_ms = known.columns(0)["at_ms"]
    newest = at_ms[-1]
    assert at_ms == sorted(at_ms)
    assert newest - at_ms[0] <= 24 * HOUR_MS
    assert newest - at_ms[0] >= 24 * HOUR_MS - 2 * 300_000
    fine = [two - one for one, two in pairwise(at_ms) if one >= newest - HOUR_MS]
    coarse = [two - one for one, two in pairwise(at_ms) if two < newest - HOUR_MS]
    assert max(fine) <= 20_000
    assert max(coarse) <= 600_000
    assert len(at_ms) <= 360 + 290


def test_of_very_many_routes_less_is_kept_but_every_event() -> None:
    """Steps of a policy stand for one another then; a rollback keeps its own point."""
    history, most = History(), 5_000
    for at in range(most):
        history.note(message(1, T0, route=f"route-{at}"))
    rollbacks = []
    for step in range(1, 24 * 360):
        at_ms = T0 + step * 10_000
        kind: ControlKind = "rollback" if step % 700 == 0 else "routing"
        rollbacks += [at_ms] if kind == "rollback" else []
        cause = {"why": "guard" if kind == "rollback" else "policy"}
        history.note(message(1 + step, at_ms, kind=kind, cause=cause, route="route-7"))
    known, retention = history.routes["route-7"], retention_for(most)
    kept = known.columns(0)["at_ms"]
    assert set(rollbacks) <= set(kept)
    assert (
        len(kept)
        <= 3600_000 // retention.fine_ms + DAY_MS // retention.coarse_ms + len(rollbacks) + 3
    )
    assert kept[-1] - kept[0] >= 0.95 * DAY_MS
    assert len(known.changes) == retention.whole
    assert known.rollback is not None


def test_room_shrinks_with_the_number_of_routes() -> None:
    """Up to some hundred routes all is kept; what is kept of all together hardly grows then."""
    assert retention_for(1) == retention_for(IN_FULL) == Retention()
    points = [n * (3600_000 // r.fine_ms) for n in (IN_FULL, 10_000) for r in [retention_for(n)]]
    assert points[1] <= 2 * points[0]
    assert retention_for(10_000).whole >= 3


def test_a_point_holds_the_mean_of_late_where_it_is_known() -> None:
    """The chart shows a break by it; a job of an older version does not tell it."""
    history = History()
    known = arms(a=0.9, b=0.8)
    known["a"]["recent"] = {"labels": 240, "mean": 0.25, "since_ms": T0}
    history.note(message(1, T0, cause={"why": "heartbeat", "arms": known}))
    columns = history.routes["r"].columns(0)
    assert columns["recent"] == [[0.25], [None]]
    assert columns["mean"] == [[0.9], [0.8]]


def test_an_arm_keeps_its_place_when_another_is_retired() -> None:
    """Its colour is the same in the list of routes as on its route's page."""
    history = History()
    history.note(message(1, T0, weights={"a": 0.5, "b": 0.3, "c": 0.2}))
    history.note(message(2, T0, weights={"b": 0.6, "c": 0.4}))
    known = history.routes["r"]
    assert summary(known, T0)["places"] == [1, 2]
    assert known.columns(0)["arms"] == ["a", "b", "c"]


@given(st.lists(st.tuples(st.integers(0, 60_000), st.booleans()), min_size=1, max_size=60))
def test_every_change_is_kept_where_it_happened(steps: list[tuple[int, bool]]) -> None:
    """Heartbeats may stand for one another; a change of weights never loses its own point."""
    history, at_ms, changes = History(), T0, []
    for seq, (pause_ms, is_change) in enumerate(steps, 1):
        at_ms += pause_ms
        kind: ControlKind = "routing" if is_change else "heartbeat"
        history.note(message(seq, at_ms, kind=kind, cause={"why": "policy"}))
        changes += [at_ms] if is_change else []
    kept = history.routes["r"].columns(0)["at_ms"]
    if at_ms - T0 < HOUR_MS:
        assert not set(changes) - set(kept)
        assert kept[-1] == at_ms


def test_columns_follow_arms_that_come_and_go() -> None:
    """An arm has None before it was registered and after it was retired."""
    history = History()
    history.note(message(1, T0, weights={"a": 1.0}, cause={"arms": arms(a=0.5)}))
    both = {"a": 0.9, "b": 0.1}
    history.note(message(2, T0 + 20_000, weights=both, cause={"arms": arms(a=0.5, b=None)}))
    history.note(message(3, T0 + 40_000, weights={"b": 1.0}, cause={"arms": arms(b=0.25)}))
    columns = history.routes["r"].columns(0)
    assert columns["arms"] == ["a", "b"]
    assert columns["weight"] == [[1.0, 0.9, None], [None, 0.1, 1.0]]
    assert columns["mean"] == [[0.5, 0.5, None], [None, None, 0.25]]
    assert columns["labels"] == [[10.0, 10.0, None], [None, 0.0, 10.0]]
    assert all(len(columns[name]) == 2 for name in FIELDS)
    assert not any(math.isnan(v) for name in FIELDS for one in columns[name] for v in one if v)


def test_marks_tell_changes_also_those_that_were_compacted_away() -> None:
    """A rollback is a mark; so is one of which only the next heartbeat's cause is left."""
    history = History()
    history.note(message(1, T0, cause={"why": "heartbeat"}))
    history.note(message(2, T0 + 1000, kind="rollback", epoch=2, cause=GUARD))
    later = {"why": "heartbeat", "last_change": commanded("promote", "eve", "b")}
    history.note(message(9, T0 + 9000, epoch=3, cause=later))
    drifted = {"why": "drift", "arm": "a", "action": "hold"}
    history.note(message(10, T0 + 9500, kind="routing", epoch=3, cause=drifted))
    history.note(message(11, T0 + 9600, kind="routing", epoch=3, cause=NOT_EFFECTIVE))
    marks = list(history.routes["r"].marks)
    assert [(mark.kind, mark.text) for mark in marks] == [
        ("rollback", "b was rolled back: harmful"),
        ("command", "promote b by eve"),
        ("drift", "drift: a"),
        ("alarm", "an arm that was rolled back still answers"),
    ]
    assert history.routes["r"].rollback is not None


def test_changes_are_explained_from_memory() -> None:
    """The same sentences as ``leverframe explain`` gives."""
    history = History()
    known = arms(a=0.5, b=0.25)
    history.note(message(1, T0, kind="routing", cause={"why": "policy", "arms": known}))
    moved = {"a": 0.5, "b": 0.5}
    history.note(
        message(2, T0 + 1000, kind="routing", weights=moved, cause={"why": "policy", "arms": known})
    )
    (change, told), *rest = history.routes["r"].explained(None, 1)
    assert not rest
    assert change.moved == {"a": (0.75, 0.5), "b": (0.25, 0.5)}
    assert any("a fell from 0.750 to 0.500" in line for line in told)
    assert history.routes["r"].explained(T0 - 1, 1) == []


def test_a_policy_at_work_pushes_out_neither_the_day_nor_its_events() -> None:
    """A shift each ten seconds: the day is still there, and so is the rollback at its begin."""
    history = History()
    rolled = {"why": "guard", "arm": "b"}
    history.note(message(1, T0, kind="rollback", cause=rolled))
    for seq in range(2, 24 * HOUR_MS // 10_000):
        history.note(message(seq, T0 + seq * 10_000, kind="routing", cause={"why": "policy"}))
    known = history.routes["r"]
    at_ms = known.columns(0)["at_ms"]
    assert at_ms[-1] - at_ms[0] > 23 * HOUR_MS
    assert len(at_ms) < 360 + 300
    assert [(mark.kind, mark.times) for mark in known.marks] == [("rollback", 1), ("shift", 8638)]


def test_time_never_goes_back_where_decisions_lag() -> None:
    """A decision of an hour ago, told between two heartbeats, has its place between them."""
    history = History()
    history.note(message(1, T0))
    history.note(message(2, T0 - HOUR_MS, kind="routing", cause={"why": "policy"}), T0 + 1000)
    history.note(message(3, T0 + 20_000))
    known = history.routes["r"]
    assert known.columns(0)["at_ms"] == [T0, T0, T0 + 20_000]
    assert known.heard_ms == T0 + 20_000
