"""When a decision is due: often enough for a fall, seldom enough for an hour of backlog."""

import copy
import random

import pytest
from records import routes
from traffic_loop import Loop

from leverframe.streams.learning.decision import burst_end_ms
from leverframe.streams.routes.settings import NamedParams

FIXED = {"policy": NamedParams(name="newest"), "promote": False, "floor": 0.1}


@pytest.fixture(scope="module")
def used() -> Loop:
    """Two arms at 0.9, the second with all but the floor, 5,000 labels behind them."""
    loop = Loop(1, routes(**FIXED), every_ms=20)
    loop.begin("a", "b")
    loop.run(5_000, a=0.9, b=0.9)
    return loop


def go_on(used: Loop, seed: int, every_ms: int, **settings: object) -> Loop:
    """A copy that goes on at another pace, with other luck."""
    loop = copy.deepcopy(used)
    loop.rng, loop.every_ms, loop.messages = random.Random(seed), every_ms, []
    loop.route = routes(**(FIXED | settings))
    return loop


def decisions(loop: Loop, count: int, **means: float) -> int:
    """Serve requests; return how many decisions were made."""
    made = 0
    for _ in loop.serve(count, means.__getitem__):
        made += not loop.state.labels_since_decision
    return made


def test_few_labels_beside_thousands_wait_for_others(used: Loop) -> None:
    """A label each millisecond: one decision in 20 or more of them, not one each 20 ms."""
    assert decisions(go_on(used, 1, 1), 2_000, a=0.9, b=0.9) < 100
    assert decisions(go_on(used, 1, 10), 1_000, a=0.9, b=0.9) < 80


def test_slow_labels_are_decided_on_as_they_come(used: Loop) -> None:
    """One in 300 ms, longer than labels wait: each is decided upon at once."""
    loop = go_on(used, 2, 300)
    loop.run(1, a=1.0, b=1.0)  # decides on what waited, before it counts
    assert decisions(loop, 100, a=0.9, b=0.9) == 100


def test_no_label_waits_longer_than_stated(used: Loop) -> None:
    """Ten decision intervals after a decision, 200 ms at most, labels that wait are due."""
    for interval_ms, longest_ms in ((20, 200), (5, 50), (50, 200), (1000, 1000), (0, 0)):
        loop = go_on(used, 3, 1, decision_interval_ms=interval_ms)
        loop.run(1, a=1.0, b=1.0)
        due_ms = burst_end_ms(loop.state, loop.route.get("r"))
        assert due_ms - loop.state.last_decision_ms <= longest_ms + interval_ms


@pytest.mark.parametrize("seed", range(5))
def test_fall_is_noticed_as_if_every_label_were_decided_upon(used: Loop, seed: int) -> None:
    """Both loops see the same labels; the first measure is taken within a dozen labels."""
    taken = []
    for settings in ({}, {"decision_labels": 1}):
        loop = go_on(used, 100 + seed, 5, **settings)
        for served, _ in enumerate(loop.serve(400, {"a": 0.9, "b": 0.3}.__getitem__), 1):
            if loop.why("probation") or loop.why("guard"):
                taken.append(served)
                break
    seldom, often = taken
    assert often <= seldom <= often + 12
    assert seldom < 80
