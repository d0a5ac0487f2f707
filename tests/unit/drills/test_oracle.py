"""The drills' own script and comparison: they agree with the pure step, and see what is wrong."""

import itertools
from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from records import MAX_VALUE_BYTES, Record

from drills.arrivals import PREDICTION, ROUTES, Arrivals, Arriving
from drills.expectation import compare, expected_pairs, expected_statistics
from drills.verdict import counted
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.step import attribute
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings

REQUESTS = 4000
ARRIVALS = Arrivals(5)
KNOWN = Routes({}, RouteSettings(label_depends_on_answer=False))


@pytest.fixture(scope="module")
def outcome() -> AttributionOutcome:
    """Give what the step makes of the whole script in one micro-batch."""
    arriving = Arriving(ARRIVALS)
    events = [event for _ in range(REQUESTS) for event in arriving.next()] + arriving.rest()
    records: list[tuple[bool, Any]] = [
        (
            event.topic == PREDICTION,
            SimpleNamespace(
                topic="t",
                partition=0,
                offset=at,
                timestamp=1_700_000_000_000 + at - event.age_ms,
                key=event.key,
                value=event.value,
            ),
        )
        for at, event in enumerate(events)
    ]
    runs = [
        (first, [record for _, record in run])
        for first, run in itertools.groupby(records, key=lambda pair: pair[0])
    ]
    return attribute(runs, {}, KNOWN, max_value_bytes=16384)


def test_step_and_script_agree(outcome: AttributionOutcome) -> None:
    """Rewards, statistics and dead letters of every kind of request are as the script says."""
    values = [encode(reward) for reward in outcome.rewards]
    found = compare(ARRIVALS, REQUESTS, values)
    assert (found.lost, found.twice, found.wrong) == (0, 0, 0), found
    assert found.shadows > REQUESTS // 4
    assert found.labels > REQUESTS
    last = {(reward.request_id, reward.arm): reward for reward in outcome.rewards}
    for in_shadow in (False, True):
        counts = Counter(
            (r.route, r.arm)
            for r in last.values()
            if r.reward is not None and not (in_shadow and r.served)
        )
        expected = expected_statistics(ARRIVALS, REQUESTS, in_shadow=in_shadow)
        assert counts == {where: count for where, (count, _) in expected.items()}
    letters = Counter((each.reason, each.key, each.value) for each in outcome.dead_letters)
    assert letters == Counter(ARRIVALS.dead_letters(REQUESTS))
    assert {reason for reason, _, _ in letters} >= {"conflict", "oversized", "key_mismatch"}


def test_learning_and_script_agree_on_pairs(outcome: AttributionOutcome) -> None:
    """Sums of each arm, of answers in shadow and of every pair are those of the recount."""
    records = [
        Record(reward.route.encode(), encode(reward), topic="rewards", offset=at)
        for at, reward in enumerate(outcome.rewards)
    ]
    learnt = learn([("rewards", records)], {}, KNOWN, max_value_bytes=MAX_VALUE_BYTES)
    assert not learnt.dead_letters
    assert counted(learnt.states, ARRIVALS, REQUESTS) == []
    assert len(expected_pairs(ARRIVALS, REQUESTS)) == ROUTES * 3
    for wrong in (Arrivals(5, shadow_mille=290), Arrivals(5, shadow_mille=0)):
        assert len(counted(learnt.states, wrong, REQUESTS)) == 3


@pytest.mark.parametrize("what", ["lost", "twice", "wrong", "wrong arm", "wrong side", "stranger"])
def test_comparison_sees_what_is_wrong(outcome: AttributionOutcome, what: str) -> None:
    """One record that is missing, doubled, of another value or arm, or of nobody, is found."""
    rewards = list(outcome.rewards)
    records = Counter(reward.request_id for reward in rewards)
    at = next(at for at, reward in enumerate(rewards) if records[reward.request_id] == 1)
    one: Reward = decode(Reward, encode(rewards[at]))
    rewards[at : at + 1] = {
        "lost": [],
        "twice": [one, one],
        "wrong": [msgspec.structs.replace(one, reward=1.0 - (one.reward or 0.0))],
        "wrong arm": [msgspec.structs.replace(one, arm="arm-9")],
        "wrong side": [msgspec.structs.replace(one, served=not one.served)],
        "stranger": [one, msgspec.structs.replace(one, request_id="nobody")],
    }[what]
    found = compare(ARRIVALS, REQUESTS, [encode(reward) for reward in rewards])
    assert found.lost == (what in {"lost", "wrong arm", "wrong side"})
    assert found.twice == (what == "twice")
    assert bool(found.wrong) == (what in {"wrong", "wrong arm", "wrong side", "stranger"})
