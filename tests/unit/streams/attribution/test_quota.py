"""A route's quota: its rate is held, and a request is judged once, whatever comes of it."""

from collections.abc import Mapping
from typing import Any

import pytest
from records import MAX_VALUE_BYTES, T0, Record, label_record, prediction_record, routes, runs

from leverframe.schemas.traffic import OVER_QUOTA
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.quota import Bucket, Quota, refilled
from leverframe.streams.attribution.step import attribute

NONE_LEFT = {"r": Bucket(0.0, T0)}


def joined(
    *records: Record,
    buckets: Mapping[str, Bucket] | None = None,
    partitions: int = 1,
    now_ms: int = T0 + 10**6,
    **settings: Any,
) -> tuple[AttributionOutcome, Quota]:
    quota = Quota(buckets or {}, partitions, now_ms)
    route = routes(window_s=1000.0, **{"max_requests_per_s": 2.0, **settings})
    batch = runs(records, "predictions")
    out = attribute(batch, {}, route, max_value_bytes=MAX_VALUE_BYTES, quota=quota)
    return out, quota


def pairs(count: int, at: int, prefix: str = "x") -> list[Record]:
    ids = [f"{prefix}{number}" for number in range(count)]
    records = [prediction_record(name, at) for name in ids]
    return records + [label_record(name, 1, at + 1) for name in ids]


def test_ten_seconds_worth_may_come_at_once() -> None:
    """Twenty of a hundred count, at two a second; the others get no reward and are counted."""
    outcome, quota = joined(*pairs(100, 0))
    assert len(outcome.rewards) == 20
    assert outcome.counts[OVER_QUOTA, "r", "a"] == 80
    assert outcome.counts["prediction", "r", "a"] == 100
    assert outcome.counts["not_shown", "r", "a"] == 80
    assert not outcome.dead_letters
    again, _ = joined(*pairs(100, 5000, "y"), buckets=quota.buckets)
    assert len(again.rewards) == 10


def test_partitions_share_a_quota() -> None:
    """Each of four lets a quarter through, and at least one."""
    assert len(joined(*pairs(100, 0), partitions=4)[0].rewards) == 5
    assert len(joined(*pairs(100, 0), partitions=1000)[0].rewards) == 1


def test_a_steady_load_within_the_quota_loses_nothing() -> None:
    """Two a second for ten minutes, in micro-batches of ten."""
    buckets: Mapping[str, Bucket] = {}
    rewards = 0
    for at in range(0, 600_000, 5000):
        batch = [each for n in range(10) for each in pairs(1, at + 500 * n, f"{at}-{n}-")]
        outcome, quota = joined(*batch, buckets=buckets)
        rewards, buckets = rewards + len(outcome.rewards), quota.buckets
    assert rewards == 1200


def test_one_route_does_not_take_from_another() -> None:
    """Routes without a quota have none, those with one have their own."""
    outcome, _ = joined(*pairs(1, 0), buckets={"other": Bucket(0.0, T0)}, max_requests_per_s=0.001)
    assert len(outcome.rewards) == 1
    assert len(joined(*pairs(100, 0), max_requests_per_s=None)[0].rewards) == 100


@pytest.mark.parametrize("label_first", [False, True])
def test_a_request_that_was_refused_stays_so(*, label_first: bool) -> None:
    """Repeated once there are permits again it is a duplicate, no conflict and no second try."""
    first = [prediction_record("x", 1), label_record("x", 1, 2)]
    later = prediction_record("x", 60_000)
    outcome, quota = joined(*(reversed(first) if label_first else first), later, buckets=NONE_LEFT)
    assert not outcome.rewards
    assert not outcome.dead_letters
    assert outcome.counts["duplicate_prediction", "r", "a"] == 1
    assert quota.buckets["r"].permits < 1  # the repetition took none and refilled nothing


def test_answers_in_shadow_fare_as_the_first_answer() -> None:
    """A request takes one permit, however many arms answer; a refused one has no rewards."""
    answers = [
        prediction_record("x", 1, arm="b", served=False),
        prediction_record("x", 1, arm="a"),
        label_record("x", 1, 2),
    ]
    settings: dict[str, Any] = {"label_depends_on_answer": False}
    refused, _ = joined(*answers, buckets=NONE_LEFT, **settings)
    assert not refused.rewards
    assert not refused.dead_letters
    assert sum(n for (what, _, _), n in refused.counts.items() if what == OVER_QUOTA) == 1
    taken, quota = joined(*answers, buckets={"r": Bucket(1.0, T0 + 1)}, **settings)
    assert [one.arm for one in taken.rewards] == ["b", "a"]
    assert quota.buckets["r"].permits == 0


def test_silence_about_a_refused_request_is_no_default() -> None:
    """It would count as a bad answer, which nobody knows."""
    outcome, _ = joined(prediction_record("x", 1), buckets=NONE_LEFT, default_reward=0.0)
    route = routes(window_s=1000.0, max_requests_per_s=2.0, default_reward=0.0)
    entries = {name: decode_entry(encode_entry(one)) for name, one in outcome.entries.items()}
    swept = sweep(entries, T0 + 10**9, route)
    assert not swept.rewards
    assert swept.expired == ["x"]


def test_a_clock_that_is_ahead_refills_nothing() -> None:
    """A producer that is an hour ahead has what this machine's time allows."""
    outcome, quota = joined(*pairs(100, 3_600_000), buckets=NONE_LEFT, now_ms=T0 + 1000)
    assert len(outcome.rewards) == 2
    assert quota.buckets["r"].at_ms == T0 + 1000


def test_older_records_begin_anew() -> None:
    """Records of yesterday are not held to what was taken today; small steps back are noise."""
    bucket = Bucket(0.0, T0)
    assert refilled(bucket, 2.0, T0 - 30_000) == bucket
    yesterday = refilled(bucket, 2.0, T0 - 86_400_000)
    assert refilled(yesterday, 2.0, T0 - 86_399_000).permits == 2.0
