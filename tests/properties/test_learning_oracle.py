"""Learning under revision against a recount: lifetime, windowed, discounted and linear sums."""

from collections import defaultdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MAX_VALUE_BYTES, T0, Record, learning_runs, reward_record, routes

from leverframe.policies.discounted_thompson import DiscountedThompson
from leverframe.policies.sliding_window_ucb import SlidingWindowUcb
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.statistics import arm_stats
from leverframe.streams.learning.step import learn

BUCKET_MS = 100
ROUTE: dict[str, Any] = {
    "bucket_ms": BUCKET_MS,
    "max_buckets": 1000,
    "context_dimension": 2,
    "max_arms": 3,
}

# (gap, request, arm, reward or None): a request's later rewards revise or withdraw its first one.
histories = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 5),
        st.sampled_from([0.0, 0.25, 1.0, None]),
    ),
    min_size=1,
    max_size=30,
)


def arm_of(request: int) -> str:
    return "ab"[request % 2]


def context_of(request: int) -> list[float]:
    return [1.0, request / 4]


def records(history: list[tuple[int, int, float | None]]) -> list[Record]:
    """Reward records as attribution would write them: each says what it replaces."""
    made = []
    last: dict[int, tuple[float | None, int, int]] = {}
    now = 0
    for gap, request, reward in history:
        now += gap
        previous, revision, counted = last.get(request, (None, -1, now))
        if revision < 0 and reward is None:
            continue
        made.append(
            reward_record(
                arm_of(request),
                reward,
                now,
                request_id=f"q{request}",
                previous_reward=previous,
                revision=revision + 1,
                counted_at_ms=None if revision < 0 else T0 + counted,
                context=context_of(request),
            )
        )
        last[request] = (reward, revision + 1, counted)
    return made


def recount(
    history: list[tuple[int, int, float | None]],
) -> dict[str, list[tuple[int, int, float]]]:
    """Return the last word per request, by arm: (time when it first counted, request, reward)."""
    first: dict[int, int] = {}
    final: dict[int, float | None] = {}
    now = 0
    for gap, request, reward in history:
        now += gap
        if request not in first and reward is None:
            continue
        first.setdefault(request, now)
        final[request] = reward
    arms = defaultdict(list)
    for request, reward in final.items():
        if reward is not None:
            arms[arm_of(request)].append((first[request], request, reward))
    return arms


def folded(made: list[Record]) -> RouteState | None:
    """Fold one record at a time, the state through its codec in between."""
    raw: bytes | None = None
    for record in made:
        states = {} if raw is None else {"r": decode_route(raw)}
        batch = learning_runs([record])
        outcome = learn(batch, states, routes(**ROUTE), max_value_bytes=MAX_VALUE_BYTES)
        raw = encode_route(outcome.states["r"])
    return None if raw is None else decode_route(raw)


@given(histories)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_learning_under_revision_equals_a_clean_recount(
    history: list[tuple[int, int, float | None]],
) -> None:
    """After any revisions and withdrawals, every sum is that of the last words alone, exactly."""
    state = folded(records(history))
    if state is None:
        return
    expected = recount(history)
    for name, arm in state.arms.items():
        words = expected[name]
        assert arm.count == len(words)
        assert arm.sum_nano == sum(round(reward * 1e9) for _, _, reward in words)
        assert arm.square_nano == sum(round(reward * reward * 1e9) for _, _, reward in words)
        buckets: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for at, _, reward in words:
            bucket = buckets[(T0 + at) // BUCKET_MS]
            bucket[0] += 1
            bucket[1] += round(reward * 1e9)
            bucket[2] += round(reward * reward * 1e9)
        assert {i: b for i, b in arm.buckets.items() if any(b)} == dict(buckets)
    linear = arm_stats(state, BUCKET_MS, 2).linear
    assert linear is not None
    for k, name in enumerate(state.arms):
        xs = np.array([context_of(request) for _, request, _ in expected[name]]).reshape(-1, 2)
        rewards = np.array([reward for _, _, reward in expected[name]])
        assert np.allclose(linear.gram[k], xs.T @ xs, atol=1e-9)
        assert np.allclose(linear.moment[k], xs.T @ rewards, atol=1e-9)


@given(histories)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_windowed_and_discounted_policies_see_no_trace_of_what_was_revised(
    history: list[tuple[int, int, float | None]],
) -> None:
    """The same bits as for a history in which each request was labelled once, and rightly."""
    state = folded(records(history))
    words = sorted(
        (at, request, reward) for own in recount(history).values() for at, request, reward in own
    )
    if state is None or len({arm_of(request) for _, request, _ in words}) < len(state.arms):
        return
    times = [at for at, _, _ in words]
    gaps = np.diff(times, prepend=0).tolist()
    clean = [
        (int(gap), request, reward) for gap, (_, request, reward) in zip(gaps, words, strict=True)
    ]
    fresh = folded(records(clean))
    assert fresh is not None
    if list(fresh.arms) != list(state.arms):
        return
    for policy in (SlidingWindowUcb(window_ms=500), DiscountedThompson(half_life_ms=300)):
        now_ms = T0 + times[-1]
        before, after = (
            policy.propensities(arm_stats(s, BUCKET_MS), now_ms) for s in (fresh, state)
        )
        assert before.tolist() == after.tolist()
