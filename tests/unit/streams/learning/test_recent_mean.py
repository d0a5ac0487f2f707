"""The mean of the newest labels: it shows a break, and a replay shows the same figure."""

import random
from itertools import pairwise
from typing import Any

import pytest
from records import MAX_VALUE_BYTES, T0, Record, learning_runs, reward_record, routes

from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.step import learn

BUCKET_MS = 10_000


def told(records: list[Record], cuts: list[int] | None = None, **settings: Any) -> ControlMessage:
    """Return the heartbeat after some rewards, cut into micro-batches."""
    table, states = routes(**settings), dict[str, RouteState]()
    route = table.get("r")
    assert route is not None
    for begin, end in pairwise([0, *(cuts or []), len(records)]):
        runs = learning_runs(records[begin:end])
        outcome = learn(runs, states, table, max_value_bytes=MAX_VALUE_BYTES)
        states = {name: decode_route(encode_route(s)) for name, s in outcome.states.items()}
    return heartbeat(states["r"], route, T0)


def rewards(rates: list[float], each: int) -> list[Record]:
    """Rewards of 0 and 1, ``each`` in a time bucket of its own for each rate."""
    rng = random.Random(5)
    return [
        reward_record("a", float(rng.random() < rate), at * BUCKET_MS + i)
        for at, rate in enumerate(rates)
        for i in range(each)
    ]


def test_a_break_shows_in_the_newest_labels() -> None:
    """After 3,000 good labels and 300 bad ones the mean of the life still looks well."""
    arm = told(rewards([0.9] * 10 + [0.1], 300)).cause["arms"]["a"]
    assert arm["mean"] > 0.8
    assert arm["recent"]["labels"] == 300
    assert arm["recent"]["mean"] < 0.2
    assert arm["recent"]["since_ms"] == (T0 + 10 * BUCKET_MS) // BUCKET_MS * BUCKET_MS


@pytest.mark.parametrize("seed", range(3))
def test_it_does_not_depend_on_micro_batches(seed: int) -> None:
    """A replay of the same rewards shows the same figure."""
    records = rewards([0.9, 0.5, 0.2], 150)
    cuts = sorted(random.Random(seed).sample(range(1, len(records)), 5))
    assert told(records, cuts).cause["arms"] == told(records).cause["arms"]


def test_a_revision_changes_it_as_if_it_had_come_so() -> None:
    """Where the old reward was counted it is taken out, and nothing else moves."""
    records = rewards([0.9, 0.9], 150)
    revised = reward_record(
        "a", 0.0, BUCKET_MS * 2, previous_reward=1.0, revision=1, counted_at_ms=T0
    )
    before, after = (told(r).cause["arms"]["a"]["recent"] for r in (records, [*records, revised]))
    assert after["labels"] == before["labels"] == 300
    assert after["mean"] == pytest.approx(before["mean"] - 1 / 300, abs=1e-6)


def test_an_arm_without_labels_has_none() -> None:
    """Nothing is made up; few labels are all there are."""
    arms = told([reward_record("a", 1.0)]).cause["arms"]
    assert arms["a"]["recent"] == {
        "labels": 1,
        "mean": 1.0,
        "since_ms": T0 // BUCKET_MS * BUCKET_MS,
    }
    withdrawn = reward_record("a", None, 1, previous_reward=1.0, revision=1, counted_at_ms=T0)
    arms = told([reward_record("a", 1.0), withdrawn]).cause["arms"]
    assert "recent" not in arms["a"]
