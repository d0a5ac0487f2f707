"""Attribution against a brute-force oracle, over arbitrary arrivals cut into arbitrary batches."""

from collections import Counter
from typing import Any

from attribution_oracle import final_rewards
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MAX_VALUE_BYTES, T0, label_record, prediction_record, routes, runs

from schemas.reward import Reward
from streams.attribution import attribute
from streams.entries import Entry, decode_entry, encode_entry
from streams.expiry import sweep

WINDOW_MS = 1000

events = st.lists(
    st.tuples(
        st.integers(0, 600),
        st.sampled_from("plll"),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from([0, 1, None]),
    ),
    max_size=24,
)


def played(events_: list[tuple[int, str, str, Any]], cuts: list[int]) -> list[Reward]:
    """Run events through the step, cut into micro-batches, entries through their codec."""
    route = routes(window_s=WINDOW_MS / 1000)
    records = [
        prediction_record(request_id, time, prediction=content or 0)
        if kind == "p"
        else label_record(request_id, content, time)
        for time, kind, request_id, content in events_
    ]
    stored: dict[str, bytes] = {}
    rewards: list[Reward] = []
    bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    for begin, end in zip(bounds, bounds[1:], strict=False):
        entries: dict[str, Entry] = {key: decode_entry(raw) for key, raw in stored.items()}
        batch = runs(records[begin:end], "predictions")
        outcome = attribute(batch, entries, route, max_value_bytes=MAX_VALUE_BYTES)
        stored |= {key: encode_entry(entry) for key, entry in outcome.entries.items()}
        rewards += outcome.rewards
    return rewards


def swept(events_: list[tuple[int, str, str, Any]], cuts: list[int], lag_ms: int) -> list[Reward]:
    """As ``played``, with a default reward after half the window and a sweep after each cut."""
    route = routes(window_s=WINDOW_MS / 1000, default_reward=0.0, default_after_s=WINDOW_MS / 2000)
    stored: dict[str, bytes] = {}
    rewards: list[Reward] = []
    bounds = [0, *sorted(min(cut, len(events_)) for cut in cuts), len(events_)]
    for begin, end in zip(bounds, bounds[1:], strict=False):
        records = [
            prediction_record(request_id, time, prediction=content or 0)
            if kind == "p"
            else label_record(request_id, content, time)
            for time, kind, request_id, content in events_[begin:end]
        ]
        entries: dict[str, Entry] = {key: decode_entry(raw) for key, raw in stored.items()}
        batch = runs(records, "predictions")
        outcome = attribute(batch, entries, route, max_value_bytes=MAX_VALUE_BYTES)
        stored |= {key: encode_entry(entry) for key, entry in outcome.entries.items()}
        rewards += outcome.rewards
        newest = events_[end - 1][0] if end else 0
        is_last = end == len(events_)
        until = T0 + (newest + 10 * WINDOW_MS if is_last else newest - lag_ms)
        found = sweep({key: decode_entry(raw) for key, raw in stored.items()}, until, route)
        stored |= {key: encode_entry(entry) for key, entry in found.changed.items()}
        for request_id in found.expired:
            del stored[request_id]
        rewards += found.rewards
    return rewards


def rising(steps: list[tuple[int, str, str, Any]]) -> list[tuple[int, str, str, Any]]:
    """Turn gaps into times; a prediction's content never changes, as conflicts are told apart."""
    time = 0
    out = []
    for gap, kind, request_id, content in steps:
        time += gap
        out.append((time, kind, request_id, 1 if kind == "p" else content))
    return out


@given(events, st.lists(st.integers(0, 24), max_size=4))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_attribution_agrees_with_a_brute_force_recount(
    steps: list[tuple[int, str, str, Any]], cuts: list[int]
) -> None:
    """Any arrivals, any micro-batches: what is counted in the end is what the oracle counts."""
    sequence = rising(steps)
    counted: dict[str, int | None] = {}
    for reward in played(sequence, cuts):
        if reward.previous_reward is not None:
            assert counted[reward.request_id] == reward.previous_reward
        counted[reward.request_id] = None if reward.reward is None else int(reward.reward)
    assert counted == final_rewards(sequence, WINDOW_MS)


@given(events, st.lists(st.integers(0, 24), max_size=4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_attribution_does_not_depend_on_micro_batches(
    steps: list[tuple[int, str, str, Any]], cuts: list[int]
) -> None:
    """The rewards are the same records whether the input came in one micro-batch or in many."""
    sequence = rising(steps)
    assert played(sequence, cuts) == played(sequence, [])


@given(events)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_attribution_numbers_revisions_in_order(steps: list[tuple[int, str, str, Any]]) -> None:
    """Each request's rewards carry revision 0, 1, 2, ..."""
    seen: dict[str, int] = {}
    for reward in played(rising(steps), []):
        assert reward.revision == seen.get(reward.request_id, -1) + 1
        seen[reward.request_id] = reward.revision


@given(events, st.lists(st.integers(0, 24), max_size=6), st.integers(0, 3 * WINDOW_MS))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_default_rewards_agree_with_a_brute_force_recount(
    steps: list[tuple[int, str, str, Any]], cuts: list[int], lag_ms: int
) -> None:
    """Whenever the sweep comes: silence counts the default, a label before or after it the label.

    The sweep lags by any time; requests are used once, as an id that was swept is a new one.
    """
    sequence = [event for event in rising(steps) if event[0] <= WINDOW_MS]
    counted: dict[str, int | None] = {}
    mature: Counter[str] = Counter()
    for reward in swept(sequence, cuts, lag_ms):
        assert (reward.request_id in counted) == (reward.revision > 0)
        if reward.revision:
            assert counted[reward.request_id] == reward.previous_reward
        counted[reward.request_id] = None if reward.reward is None else int(reward.reward)
        mature[reward.request_id] += reward.cause == "expiry"
    assert counted == final_rewards(sequence, WINDOW_MS, default=0)
    # What is in force when the default falls due is told once, for the guard.
    assert all(mature[request_id] <= 1 for request_id in counted)
    assert all(
        mature[request_id] == 1 for request_id, reward in counted.items() if reward is not None
    )
