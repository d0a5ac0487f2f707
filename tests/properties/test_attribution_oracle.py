"""Attribution and learning against a brute-force recount: any arrivals, any cut, any order of read.

Predictions and labels of a few requests come at any times; both topics are read in their own order,
but one may run ahead of the other; what was read is cut into micro-batches anywhere, and swept
whenever. In the end every sum is the recount's.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
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

from leverframe.experiments.oracle import Counted, Labelled, Predicted, Rules, recount, sums
from leverframe.schemas.codec import encode
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.statistics import arm_stats
from leverframe.streams.learning.step import learn

REQUESTS = st.sampled_from(["x", "y", "z"])
prediction_steps = st.tuples(
    st.integers(0, 900), REQUESTS, st.sampled_from([0, 1]), st.sampled_from([True, True, False])
)
label_steps = st.tuples(
    st.integers(0, 600),
    REQUESTS,
    st.sampled_from([0, 1, 2, None]),
    st.sampled_from(["", "click", "order"]),
)


class Arrivals(NamedTuple):
    """Records of both topics in their own order, and how they are read."""

    predictions: list[Record]
    labels: list[Record]
    told: dict[str, tuple[list[Predicted], list[Labelled]]]
    ahead: list[bool]
    cuts: list[int]


@st.composite
def arrivals(draw: st.DrawFn, *, parts: bool = False) -> Arrivals:
    """Times rise within a topic; which topic is read next is drawn, regardless of times."""
    predictions, labels = [], []
    told: dict[str, tuple[list[Predicted], list[Labelled]]] = {}
    at = 0
    for gap, request, prediction, shown in draw(st.lists(prediction_steps, max_size=8)):
        at += gap
        seen = told.setdefault(request, ([], []))
        if seen[0] and at - seen[0][0].at_ms > WINDOW_MS:
            # An id that is used again after its window is a new request where it was swept.
            continue
        arm = "ab"["xyz".index(request) % 2]
        record = prediction_record(request, at, arm=arm, prediction=prediction, shown=shown)
        predictions.append(record)
        seen[0].append(Predicted(at, arm, prediction, shown))
    at = 0
    for gap, request, label, part in draw(st.lists(label_steps, max_size=16)):
        at += gap
        name = part if parts else ""
        labels.append(label_record(request, label, at, part=name))
        told.setdefault(request, ([], []))[1].append(Labelled(at, label, name))
    count = len(predictions) + len(labels)
    ahead = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return Arrivals(
        predictions, labels, told, ahead, draw(st.lists(st.integers(0, count), max_size=5))
    )


def in_order_of_read(seen: Arrivals) -> list[Record]:
    left = (list(seen.predictions), list(seen.labels))
    read = []
    for first in seen.ahead:
        queue = left[0] if (first and left[0]) or not left[1] else left[1]
        read.append(queue.pop(0))
    return read


def expected(seen: Arrivals, rules: Rules) -> dict[str, Counted]:
    counted = {
        request: recount(predictions, labels, rules)
        for request, (predictions, labels) in seen.told.items()
        if predictions
    }
    return {request: one for request, one in counted.items() if one.reward is not None}


def folded(rewards: Sequence[Reward], route: Any) -> RouteState | None:
    """Learn one record at a time, the state through its codec in between."""
    raw: bytes | None = None
    for offset, reward in enumerate(rewards):
        record = Record(b"r", encode(reward), reward.attributed_at_ms, "rewards", offset=offset)
        states = {} if raw is None else {"r": decode_route(raw)}
        outcome = learn(learning_runs([record]), states, route, max_value_bytes=MAX_VALUE_BYTES)
        raw = encode_route(outcome.states["r"])
    return None if raw is None else decode_route(raw)


def agrees(state: RouteState | None, counted: Sequence[Counted]) -> None:
    """Lifetime, windowed and discounted sums of every arm are the recount's."""
    if state is None:
        assert not counted
        return
    stats = arm_stats(state, BUCKET_MS)
    names = list(state.arms)
    now_ms = 3000
    bucket = lambda since_ms: (T0 + since_ms) // BUCKET_MS * BUCKET_MS - T0  # noqa: E731
    starts = stats.buckets.start_ms - T0
    for weight in (
        lambda _: 1.0,
        lambda since_ms: float(bucket(since_ms) > now_ms - 700),
        lambda since_ms: 0.5 ** ((now_ms - bucket(since_ms)) / 300),
    ):
        wanted = sums(counted, weight)
        count, total, _ = stats.buckets.weighted(np.array([weight(int(s)) for s in starts]))
        for at, name in enumerate(names):
            assert (count[at], total[at]) == pytest.approx(wanted.get(name, (0.0, 0.0)), abs=1e-9)
    lifetime = sums(counted)
    for at, name in enumerate(names):
        assert (stats.count[at], stats.reward_sum[at]) == lifetime.get(name, (0.0, 0.0))


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_sum_agrees_with_a_recount(seen: Arrivals, lag_ms: int) -> None:
    """Whatever comes in whatever order: rewards, lifetime, windowed and discounted sums."""
    route = routes(window_s=WINDOW_MS / 1000, bucket_ms=BUCKET_MS, max_buckets=1000)
    rewards = played(in_order_of_read(seen), seen.cuts, route, lag_ms)
    wanted = expected(seen, rules_of())
    assert in_force(rewards) == wanted
    agrees(folded(rewards, route), list(wanted.values()))


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_default_rewards_agree_with_a_recount(seen: Arrivals, lag_ms: int) -> None:
    """Silence counts the default, a label before or after it the label, whenever the sweep comes.

    What is in force when the default falls due is told once, for the guard.
    """
    route = routes(
        window_s=WINDOW_MS / 1000,
        bucket_ms=BUCKET_MS,
        max_buckets=1000,
        default_reward=0.0,
        default_after_s=WINDOW_MS / 2000,
    )
    rewards = played(in_order_of_read(seen), seen.cuts, route, lag_ms)
    wanted = expected(seen, rules_of(default=0.0, default_after_ms=WINDOW_MS // 2))
    assert in_force(rewards) == wanted
    agrees(folded(rewards, route), list(wanted.values()))
    mature = Counter(reward.request_id for reward in rewards if reward.cause == "expiry")
    assert all(times == 1 for times in mature.values())
    assert set(wanted) <= set(mature)


@given(arrivals(), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_maturing_changes_no_sum_and_tells_each_reward_once(seen: Arrivals, lag_ms: int) -> None:
    """On a route that corrects for delays the guard's records come beside the others."""
    route = routes(
        window_s=WINDOW_MS / 1000,
        bucket_ms=BUCKET_MS,
        max_buckets=1000,
        delay_correction=True,
        matures_after_s=WINDOW_MS / 2000,
    )
    rewards = played(in_order_of_read(seen), seen.cuts, route, lag_ms)
    wanted = expected(seen, rules_of())
    assert in_force(rewards) == wanted
    agrees(folded(rewards, route), list(wanted.values()))
    mature = Counter(reward.request_id for reward in rewards if reward.cause == "expiry")
    assert all(times == 1 for times in mature.values())
    assert set(wanted) <= set(mature)


@pytest.mark.parametrize(
    ("how", "combine"),
    [
        ("sum", sum),
        ("last", lambda parts: parts[-1]),
        ("max", max),
        ("mean", lambda parts: sum(parts) / len(parts)),
    ],
)
def test_labels_in_parts_agree_with_a_recount(how: str, combine: Any) -> None:
    """Parts of a label come, change and go one by one; the reward follows what they amount to."""

    @given(arrivals(parts=True), st.integers(0, 3 * WINDOW_MS))
    @settings(max_examples=100, deadline=None, derandomize=True)
    def check(seen: Arrivals, lag_ms: int) -> None:
        route = routes(window_s=WINDOW_MS / 1000, bucket_ms=BUCKET_MS, combine_parts=how)
        rewards = played(in_order_of_read(seen), seen.cuts, route, lag_ms)
        assert in_force(rewards) == expected(seen, rules_of(combine=combine))

    check()


@given(arrivals(parts=True))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_rewards_depend_neither_on_cuts_nor_on_which_topic_is_read_first(seen: Arrivals) -> None:
    """The same records for each request, to the last field."""
    route = routes(window_s=WINDOW_MS / 1000, combine_parts="sum")

    def by_request(records: Sequence[Record], cuts: Sequence[int]) -> dict[str, list[Reward]]:
        told: defaultdict[str, list[Reward]] = defaultdict(list)
        for reward in played(records, cuts, route, lag_ms=10**9):
            told[reward.request_id].append(reward)
        return told

    read = by_request(in_order_of_read(seen), seen.cuts)
    assert read == by_request([*seen.predictions, *seen.labels], [])
    assert read == by_request([*seen.labels, *seen.predictions], [])
