"""The job never writes what it cannot read, and classes of unlike types are one class."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from records import MAX_VALUE_BYTES, T0, Record, routes

from leverframe.policies.reward_base import class_name
from leverframe.policies.rewards import make_reward
from leverframe.schemas.codec import decode, encode, encode_reward
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.step import attribute
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import NamedParams, RouteSettings


def joined(
    prediction: Any, label: Any, known: Routes, at_ms: tuple[int, int] = (T0, T0)
) -> AttributionOutcome:
    first = Prediction(request_id="q", route="r", arm="a", prediction=prediction)
    second = GroundTruth(request_id="q", label=label)
    runs = [
        (True, [Record(b"q", encode(first), at_ms[0], "predictions", 0, 1)]),
        (False, [Record(b"q", encode(second), at_ms[1], "ground-truth", 0, 2)]),
    ]
    return attribute(runs, {}, known, max_value_bytes=MAX_VALUE_BYTES)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS
TIMES = st.sampled_from([-1, 0, T0, T0 + 5, 253_402_300_799_999, 2**62, -(2**62)])
REWARDS = st.sampled_from(
    [
        NamedParams(name="accuracy"),
        NamedParams(name="label", params={"high": 100.0}),
        NamedParams(name="absolute_error", params={"scale": 1e308}),
        NamedParams(name="squared_error", params={"scale": 1e308}),
    ]
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    prediction=VALUES | st.text(max_size=5),
    label=VALUES | st.text(max_size=5),
    times=st.tuples(TIMES, TIMES),
    reward=REWARDS,
)
def test_every_reward_can_be_read_by_learning(
    prediction: Any, label: Any, times: tuple[int, int], reward: NamedParams
) -> None:
    """Whatever a producer sends becomes a reward that decodes, or its own dead letter."""
    known = Routes({"r": RouteSettings(window_s=1e7, reward=reward)}, None)
    outcome = joined(prediction, label, known, times)
    records = [
        Record(b"r", encode_reward(each), T0, "rewards", 0, at)
        for at, each in enumerate(outcome.rewards)
    ]
    for record in records:
        decode(Reward, record.value or b"")
    learned = learn([("rewards", records)], {}, known, max_value_bytes=MAX_VALUE_BYTES)
    assert learned.dead_letters == []
    assert {letter.topic for letter in outcome.dead_letters} <= {"predictions", "ground-truth"}


def test_a_record_without_a_time_is_set_aside_with_its_coordinates() -> None:
    """Record time -1 would make a reward that no reader takes."""
    outcome = joined(1, 1, routes(), (-1, T0))
    [letter] = outcome.dead_letters
    assert (letter.topic, letter.offset, letter.reason) == ("predictions", 1, "invalid")
    assert "record time is -1" in letter.detail


def test_a_label_beyond_all_rewards_is_set_aside() -> None:
    """1.7e308 is a number, and no reward."""
    known = routes(reward=NamedParams(name="label", params={"high": 100.0}))
    outcome = joined(1, 1.7e308, known)
    [letter] = outcome.dead_letters
    assert (letter.topic, letter.reason) == ("ground-truth", "unrewardable")


@pytest.mark.parametrize(
    ("prediction", "label"),
    [("1", 1), (1, "1"), ("true", True), (True, "true"), ("0", False), (1.0, "1"), ("True", 1)],
)
def test_classes_of_unlike_types_are_one_class(prediction: Any, label: Any) -> None:
    """An arm whose server writes its class as text is as right as the others, and it is counted."""
    outcome = joined(prediction, label, routes())
    assert outcome.rewards[0].reward == 1.0
    assert outcome.counts["unlike_types", "r", "a"] == 1


def test_other_classes_stay_apart() -> None:
    """The rule makes no two classes one that JSON tells apart."""
    names = [class_name(value) for value in (1, 2, "cat", "1a", 0.5, "", True, False, "TRUE")]
    assert names == ["1", "2", "cat", "1a", "0.5", "", "1", "0", "TRUE"]
    assert joined("cat", "dog", routes()).counts["unlike_types", "r", "a"] == 0


def test_costs_and_probabilities_follow_the_same_rule() -> None:
    """Settings may name a class by text, a mapping by true or 1."""
    costs = make_reward("cost_matrix", {"costs": {"true": {"0": 5.0}}})
    assert costs.reward("false", 1) == -5.0
    assert make_reward("log_loss", {}).reward({"true": 1.0}, 1) == 0.0
    assert make_reward("brier", {}).reward({"1": 1.0, "0": 0.0}, True) == 0.0


def test_early_labels_are_labels() -> None:
    """A label that came before its prediction counts for its arm once the prediction is there."""
    first = Prediction(request_id="q", route="r", arm="a", prediction=1)
    second = GroundTruth(request_id="q", label=1)
    runs = [
        (False, [Record(b"q", encode(second), T0, "ground-truth", 0, 1)]),
        (True, [Record(b"q", encode(first), T0, "predictions", 0, 2)]),
    ]
    outcome = attribute(runs, {}, routes(), max_value_bytes=MAX_VALUE_BYTES)
    assert outcome.counts["label", "r", "a"] == 1
    assert outcome.counts["labelled", "r", "a"] == 1
