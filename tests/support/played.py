"""Plays records through the steps of attribution without a broker, and reads what came of it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from records import MAX_VALUE_BYTES, T0, Record, runs

from leverframe.experiments.oracle import Counted, Rules
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import Kept
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute

WINDOW_MS = 1000
BUCKET_MS = 100


def played(records: Sequence[Record], cuts: Sequence[int], route: Any, lag_ms: int) -> list[Reward]:
    """Run records through the steps, entries through their codec, a sweep after each cut."""
    stored: dict[str, bytes] = {}
    rewards: list[Reward] = []
    bounds = [0, *sorted(cuts), len(records)]
    times = {"predictions": 0, "ground-truth": 0}
    for begin, end in zip(bounds, bounds[1:], strict=False):
        entries: dict[str, Kept] = {key: decode_entry(raw) for key, raw in stored.items()}
        batch = runs(records[begin:end], "predictions")
        outcome = attribute(batch, entries, route, max_value_bytes=MAX_VALUE_BYTES)
        assert {letter.reason for letter in outcome.dead_letters} <= {"conflict", "window_closed"}
        stored |= {key: encode_entry(entry) for key, entry in outcome.entries.items()}
        rewards += outcome.rewards
        for record in records[begin:end]:
            times[record.topic] = max(times[record.topic], record.timestamp)
        is_last = end == len(records)
        until = T0 + 10**9 if is_last else min(times.values()) - lag_ms
        found = sweep({key: decode_entry(raw) for key, raw in stored.items()}, until, route)
        stored |= {key: encode_entry(entry) for key, entry in found.changed.items()}
        for request_id in found.expired:
            del stored[request_id]
        rewards += found.rewards
    return rewards


def rules_of(**fields: Any) -> Rules:
    return Rules(WINDOW_MS, lambda prediction, label: float(prediction == label), **fields)


def in_force(rewards: Sequence[Reward]) -> dict[str, Counted]:
    """Check each request's records against each other; return the last words."""
    counted: dict[str, Counted] = {}
    revisions: Counter[str] = Counter()
    for reward in rewards:
        name = reward.request_id
        assert reward.revision == revisions[name]
        if revisions[name]:
            assert counted[name].reward == reward.previous_reward
            assert counted[name].since_ms + T0 == reward.counted_at_ms
            since_ms = counted[name].since_ms
        else:
            assert reward.previous_reward is None
            since_ms = reward.attributed_at_ms - T0
        revisions[name] += 1
        counted[name] = Counted(reward.arm, since_ms, reward.reward)
    return {name: one for name, one in counted.items() if one.reward is not None}
