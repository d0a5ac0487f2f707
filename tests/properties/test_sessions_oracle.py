"""Labels of sessions against a brute-force recount: any arrivals, any cut, any order of read."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import WINDOW_MS, in_force, played, rules_of
from records import Record, label_record, prediction_record, routes

from leverframe.experiments.oracle import (
    Counted,
    Predicted,
    Sharing,
    Spoken,
    labels_of_turns,
    recount,
)
from leverframe.schemas.reward import Reward

DECAY = 0.5
SESSIONS = st.sampled_from(["s", "t"])
# Ends of windows are where a sweep could make a difference.
EDGES = st.sampled_from([0, 1, WINDOW_MS // 2, WINDOW_MS - 1, WINDOW_MS, WINDOW_MS + 1])
TURNS = st.sampled_from(["x", "y", "z"])
turn_steps = st.tuples(
    st.integers(0, 500) | EDGES,
    SESSIONS,
    TURNS,
    st.sampled_from([0, 1]),
    st.sampled_from([True, True, True, False]),
)
label_steps = st.tuples(
    st.integers(0, 400) | EDGES,
    SESSIONS,
    st.sampled_from(["", "", "", "x", "y"]),
    st.sampled_from([0, 1, 2, None]),
)


class Arrivals(NamedTuple):
    """Records of both topics in their own order, and how they are read."""

    predictions: list[Record]
    labels: list[Record]
    turns: Mapping[str, dict[str, Predicted]]
    spoken: Mapping[str, list[Spoken]]
    ahead: list[bool]
    cuts: list[int]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    """Times rise within a topic; which topic is read next is drawn, regardless of times."""
    predictions, labels = [], []
    turns: dict[str, dict[str, Predicted]] = {"s": {}, "t": {}}
    spoken: dict[str, list[Spoken]] = {"s": [], "t": []}
    at = 0
    for gap, session, turn, prediction, shown in draw(st.lists(turn_steps, max_size=8)):
        at += gap
        seen = turns[session].get(turn)
        if seen is not None and at - seen.at_ms > WINDOW_MS:
            # An id that is used again after its window is a new request where it was swept.
            continue
        fields: dict[str, Any] = {"arm": "ab"[at % 2], "prediction": prediction, "shown": shown}
        record = prediction_record(f"{session}{turn}", at, session_id=session, **fields)
        predictions.append(record)
        turns[session].setdefault(turn, Predicted(at, fields["arm"], prediction, shown))
    at = 0
    for gap, session, turn, label in draw(st.lists(label_steps, max_size=14)):
        at += gap
        name = f"{session}{turn}" if turn else session
        labels.append(label_record(name, label, at, session_id=session))
        spoken[session].append(Spoken(at, label, turn))
    count = len(predictions) + len(labels)
    ahead = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    cuts = draw(st.lists(st.integers(0, count), max_size=6))
    return Arrivals(predictions, labels, turns, spoken, ahead, cuts)


def in_order_of_read(seen: Arrivals) -> list[Record]:
    left = (list(seen.predictions), list(seen.labels))
    read = []
    for first in seen.ahead:
        queue = left[0] if (first and left[0]) or not left[1] else left[1]
        read.append(queue.pop(0))
    return read


def expected(seen: Arrivals, rule: str) -> dict[str, Counted]:
    counted = {}
    for session, turns in seen.turns.items():
        labels = labels_of_turns(turns, seen.spoken[session], Sharing(rule, DECAY, WINDOW_MS))
        for turn, predicted in turns.items():
            counted[session + turn] = recount([predicted], labels[turn], rules_of())
    return {name: one for name, one in counted.items() if one.reward is not None}


def by_request(rewards: Sequence[Reward]) -> dict[str, list[Reward]]:
    told: defaultdict[str, list[Reward]] = defaultdict(list)
    for reward in rewards:
        told[reward.request_id].append(reward)
    return told


@pytest.mark.parametrize("rule", ["last", "all", "decayed"])
def test_labels_of_sessions_agree_with_a_recount(rule: str) -> None:
    """Each turn counts what the rule gives it; neither cuts, nor sweeps, nor reading change it."""

    @given(arrivals(), st.integers(0, 3 * WINDOW_MS))
    @settings(max_examples=150, deadline=None, derandomize=True)
    def check(seen: Arrivals, lag_ms: int) -> None:
        route = routes(window_s=WINDOW_MS / 1000, session_label=rule, session_decay=DECAY)
        rewards = played(in_order_of_read(seen), seen.cuts, route, lag_ms)
        assert in_force(rewards) == expected(seen, rule)
        assert {reward.unit_id for reward in rewards} <= {"s", "t"}
        told = by_request(rewards)
        every = [*range(len(seen.ahead))]
        assert told == by_request(played(in_order_of_read(seen), every, route, 0))
        assert told == by_request(played([*seen.labels, *seen.predictions], [], route, 0))
        assert told == by_request(played([*seen.predictions, *seen.labels], every, route, 0))

    check()
