"""Labels that come all at once are judged in their burst, and however records were cut."""

import random
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from records import Record, command_record, reward_record, routes
from traffic_loop import Loop

from leverframe.policies.units import NANO
from leverframe.streams.learning.decision import burst_end_ms
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.settings import NamedParams

DAY_MS = 86_400_000
ROUTE: dict[str, Any] = {
    "policy": NamedParams(name="ab_test", params={"labels_per_arm": 1_000_000}),
    "promote": False,
    "nursery_labels": 10,
}


def burst(rng: random.Random, day: int, labels: int, **means: float) -> list[Record]:
    """Labels of a day at one time stamp, those of all arms in any order."""
    return [
        reward_record(arm, float(rng.random() < means[arm]), day * DAY_MS)
        for arm in rng.choices(list(means), k=labels)
    ]


def tick(loop: Loop) -> Record:
    """What the job writes when a burst is over."""
    due_ms = burst_end_ms(loop.state, loop.route.get("r"))
    return command_record("decide", at=0, params={"due_ms": due_ms})


def test_broken_arm_is_rolled_back_in_its_burst() -> None:
    """250 labels a day at one time stamp: the rollback comes on the day of the break, 10 of 10."""
    for seed in range(10):
        rng = random.Random(seed)
        loop = Loop(seed, routes(**ROUTE))
        loop.begin("a", "b")
        for day in range(1, 5):
            loop.take(burst(rng, day, 250, a=0.95, b=0.95))
            loop.take([tick(loop)])
            assert loop.state.labels_since_decision == 0
        assert not loop.why("guard")
        loop.take(burst(rng, 5, 250, a=0.95, b=0.3))
        assert not loop.why("guard")
        loop.take([tick(loop)])
        assert [message.cause["arm"] for message in loop.why("guard")] == ["b"]
        assert "record" not in loop.why("guard")[0].cause


def test_burst_is_decided_upon_before_the_next_label_counts() -> None:
    """Also where no tick came: with a tick, or without one, the state is the same."""
    digests = set()
    for ticks in (True, False):
        rng = random.Random(1)
        loop = Loop(1, routes(**ROUTE))
        loop.begin("a", "b")
        for day in range(1, 4):
            loop.take(burst(rng, day, 100, a=0.95, b=0.9))
            if ticks:
                loop.take([tick(loop)])
                loop.take([tick(loop)])
        loop.take(burst(rng, 4, 1, a=0.95, b=0.9))
        digests.add(state_digest(loop.state))
        assert loop.state.arms["a"].first_sum_nano % NANO == 0
    assert len(digests) == 1


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), min_size=1, max_size=6),
    st.lists(st.integers(0, 400), max_size=30),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_digest_does_not_depend_on_how_bursts_are_cut(
    bursts: list[tuple[int, int]], cuts: list[int], seed: int
) -> None:
    """Bursts, with ticks among them where they may be: the same messages and digest, cut anyhow."""
    rng = random.Random(seed)
    whole = Loop(seed, routes(**ROUTE))
    whole.begin("a", "b")
    for day, (labels, ticks) in enumerate(bursts, start=1):
        whole.take(burst(rng, day, labels, a=0.9, b=0.4))
        for _ in range(ticks):
            whole.take([tick(whole)])
    again = Loop(seed, whole.route)
    at = sorted(cut for cut in cuts if cut < len(whole.records))
    for begin, end in pairwise([0, *at, len(whole.records)]):
        again.take(whole.records[begin:end])
    assert state_digest(again.state) == state_digest(whole.state)
    assert again.messages == whole.messages
