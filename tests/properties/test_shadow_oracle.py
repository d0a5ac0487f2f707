"""Several arms answer one request: each is counted as if it were alone, in any order of arrival."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import BUCKET_MS, WINDOW_MS, in_force, played, rules_of
from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    label_record,
    learning_runs,
    prediction_record,
    routes,
)

from leverframe.experiments.oracle import Counted, Labelled, Predicted, Rules, recount
from leverframe.policies.units import NANO
from leverframe.schemas.codec import encode
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.pairs import Pair, pair_key
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.step import learn

REQUESTS = st.sampled_from(["x", "y"])
ARMS = "abc"  # a is served, the others answer in shadow
answer_steps = st.tuples(st.integers(0, 300), REQUESTS, st.sampled_from(ARMS), st.integers(0, 1))
label_steps = st.tuples(st.integers(0, 400), REQUESTS, st.sampled_from([0, 1, 2, None]))


class Arrivals(NamedTuple):
    """Records of both topics in their own order, and how they are read."""

    predictions: list[Record]
    labels: list[Record]
    answers: dict[tuple[str, str], list[Predicted]]
    told: dict[str, list[Labelled]]
    ahead: list[bool]
    cuts: list[int]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    """At most one answer of each arm; which topic is read next is drawn, regardless of times."""
    predictions, labels = [], []
    answers: dict[tuple[str, str], list[Predicted]] = {}
    told: defaultdict[str, list[Labelled]] = defaultdict(list)
    at, began = 0, dict[str, int]()
    for gap, request, arm, said in draw(st.lists(answer_steps, max_size=8)):
        at += gap
        if (request, arm) in answers or at - began.setdefault(request, at) > WINDOW_MS:
            continue
        is_served = arm == "a"
        predictions.append(
            prediction_record(request, at, arm=arm, prediction=said, served=is_served)
        )
        answers[request, arm] = [Predicted(at, arm, said)]
    at = 0
    for gap, request, label in draw(st.lists(label_steps, max_size=10)):
        at += gap
        labels.append(label_record(request, label, at))
        told[request].append(Labelled(at, label))
    count = len(predictions) + len(labels)
    ahead = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    cuts = draw(st.lists(st.integers(0, count), max_size=5))
    return Arrivals(predictions, labels, answers, told, ahead, cuts)


def in_order_of_read(seen: Arrivals) -> list[Record]:
    left = (list(seen.predictions), list(seen.labels))
    read = []
    for first in seen.ahead:
        queue = left[0] if (first and left[0]) or not left[1] else left[1]
        read.append(queue.pop(0))
    return read


def by_arm(rewards: Sequence[Reward]) -> dict[str, list[Reward]]:
    found: defaultdict[str, list[Reward]] = defaultdict(list)
    for reward in rewards:
        found[reward.arm].append(reward)
    return found


def expected(seen: Arrivals, rules: Rules) -> dict[tuple[str, str], Counted]:
    counted = {
        name: recount(said, seen.told.get(name[0], []), rules)
        for name, said in seen.answers.items()
    }
    return {name: one for name, one in counted.items() if one.reward is not None}


def counted_in(rewards: Sequence[Reward]) -> dict[tuple[str, str], Counted]:
    return {
        (request, arm): one
        for arm, own in by_arm(rewards).items()
        for request, one in in_force(own).items()
    }


def check_others(rewards: Sequence[Reward]) -> None:
    """Each record says what the other arms counted when it was made."""
    now: dict[tuple[str, str], float | None] = {}
    for reward in rewards:
        others = {
            arm: value
            for (request, arm), value in now.items()
            if request == reward.request_id and arm != reward.arm and value is not None
        }
        assert (reward.others or {}) == others
        now[reward.request_id, reward.arm] = reward.reward


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_each_arm_is_counted_as_if_it_were_alone(seen: Arrivals, lag_ms: int) -> None:
    """An answer after its label included; shadows are marked and have no propensity."""
    route = routes(window_s=WINDOW_MS / 1000, bucket_ms=BUCKET_MS, label_depends_on_answer=False)
    rewards = played(in_order_of_read(seen), seen.cuts, route, 4 * WINDOW_MS + lag_ms)
    assert counted_in(rewards) == expected(seen, rules_of())
    check_others(rewards)
    assert all(reward.served == (reward.arm == "a") for reward in rewards)


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_pairs_agree_with_a_recount(seen: Arrivals, lag_ms: int) -> None:
    """Whatever was revised, withdrawn or came late; shadows apart and together with the rest."""
    route = routes(window_s=WINDOW_MS / 1000, bucket_ms=BUCKET_MS, label_depends_on_answer=False)
    rewards = played(in_order_of_read(seen), seen.cuts, route, 4 * WINDOW_MS + lag_ms)
    counted = expected(seen, rules_of())
    state = folded(rewards)
    if state is None:
        assert not counted
        return
    for first, second in itertools.combinations(state.arms, 2):
        both = [
            (one.reward, counted[request, second].reward)
            for (request, arm), one in counted.items()
            if arm == first and (request, second) in counted
        ]
        pair = state.pairs.get(pair_key(first, second), Pair())
        gaps = [a - b for a, b in both]
        assert (pair.rows, pair.sum_nano) == (len(gaps), round(sum(gaps) * NANO))
        assert pair.square_nano == round(sum(gap * gap for gap in gaps) * NANO)
        assert sum(block[2] for block in pair.blocks) == pair.rows
    for name, arm in state.arms.items():
        own = [one.reward for (_, who), one in counted.items() if who == name]
        assert (arm.count, arm.sum_nano) == (len(own), round(sum(own) * NANO))
        assert arm.in_shadow == ([0, 0] if name == "a" else [arm.count, arm.sum_nano])


def folded(rewards: Sequence[Reward]) -> RouteState | None:
    """Learn one record at a time, the state through its codec in between; arms in one order."""
    route = routes(label_depends_on_answer=False, nursery_labels=0)
    raw: bytes | None = None
    for offset, reward in enumerate(rewards):
        record = Record(b"r", encode(reward), reward.attributed_at_ms, "rewards", offset=offset)
        states = {} if raw is None else {"r": decode_route(raw)}
        outcome = learn(learning_runs([record]), states, route, max_value_bytes=MAX_VALUE_BYTES)
        assert not outcome.dead_letters
        raw = encode_route(outcome.states["r"])
    return None if raw is None else decode_route(raw)


@given(arrivals())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_records_of_an_arm_depend_neither_on_cuts_nor_on_what_is_read_first(
    seen: Arrivals,
) -> None:
    """To the last field, but for what the others counted at that moment."""
    route = routes(window_s=WINDOW_MS / 1000, label_depends_on_answer=False)

    def told(records: Sequence[Record], cuts: Sequence[int]) -> dict[Any, list[Any]]:
        found: defaultdict[Any, list[Any]] = defaultdict(list)
        for one in played(records, cuts, route, lag_ms=10**9):
            values = {field: getattr(one, field) for field in one.__struct_fields__}
            values.pop("others"), values.pop("beside")
            found[one.request_id, one.arm].append(values)
        return found

    read = told(in_order_of_read(seen), seen.cuts)
    assert read == told([*seen.predictions, *seen.labels], [])
    assert read == told([*seen.labels, *seen.predictions], [])


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_silence_counts_the_default_for_every_arm(seen: Arrivals, lag_ms: int) -> None:
    """Each at its own age, and once."""
    route = routes(
        window_s=WINDOW_MS / 1000,
        bucket_ms=BUCKET_MS,
        default_reward=0.0,
        default_after_s=WINDOW_MS / 2000,
        label_depends_on_answer=False,
    )
    rewards = played(in_order_of_read(seen), seen.cuts, route, 4 * WINDOW_MS + lag_ms)
    wanted = expected(seen, rules_of(default=0.0, default_after_ms=WINDOW_MS // 2))
    assert counted_in(rewards) == wanted
    mature = [(one.request_id, one.arm) for one in rewards if one.cause == "expiry"]
    assert len(mature) == len(set(mature))


@pytest.mark.parametrize("depends", [True, False])
def test_where_the_label_was_read_first_its_times_are_kept(depends: bool) -> None:
    """Also on a route that expects no shadows, where only the label in force is kept."""
    route = routes(window_s=1.0, label_depends_on_answer=depends)
    records = [
        prediction_record("x", 0, arm="a", prediction=1),
        label_record("x", 1, 100),
        prediction_record("x", 200, arm="b", prediction=0, served=False),
        label_record("x", 0, 300),
    ]
    rewards = played(records, [], route, 10**9)
    told = [(one.arm, one.reward, one.revision, one.attributed_at_ms - T0) for one in rewards]
    assert told == [("a", 1.0, 0, 100), ("b", 0.0, 0, 200), ("b", 1.0, 1, 300), ("a", 0.0, 1, 300)]
    assert [one.others for one in rewards] == [None, {"a": 1.0}, {"a": 1.0}, {"b": 1.0}]
    assert [one.beside for one in rewards] == [None, "a", "a", None]
    assert [one.propensity for one in rewards] == [None] * 4
