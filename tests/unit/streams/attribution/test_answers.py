"""Several answers to one request: who may join it, what is refused, what is counted where."""

from typing import Any

import pytest
from records import MAX_VALUE_BYTES, Record, label_record, prediction_record, routes, runs

from leverframe.streams.attribution.entries import MAX_ANSWERS_BYTES, Entry, Shared
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.settings import NamedParams

T_END = 2_000_000_000_000


def joined(*records: Record, **settings: Any) -> AttributionOutcome:
    route = routes(window_s=1.0, **{"label_depends_on_answer": False, **settings})
    batch = runs(records, "predictions")
    return attribute(batch, {}, route, max_value_bytes=10 * MAX_VALUE_BYTES)


def shadow(arm: str, at: int = 0, **fields: Any) -> Record:
    return prediction_record("x", at, arm=arm, served=False, **fields)


def reasons(outcome: AttributionOutcome) -> list[str]:
    return [letter.reason for letter in outcome.dead_letters]


def test_one_label_judges_every_arm_that_answered() -> None:
    """Shadows first; only the served one has a propensity, and tells the rest."""
    outcome = joined(
        prediction_record("x", arm="a", prediction=1, propensity=0.9),
        shadow("b", prediction=0),
        shadow("c", prediction=1),
        label_record("x", 1, 10),
    )
    told = [(one.arm, one.reward, one.served, one.propensity) for one in outcome.rewards]
    assert told == [
        ("b", 0.0, False, None),
        ("c", 1.0, False, None),
        ("a", 1.0, True, 0.9),
    ]
    assert outcome.rewards[2].others == {"b": 0.0, "c": 1.0}
    assert outcome.counts["label", "r", "a"] == 1
    assert outcome.counts["labelled", "r", "a"] == 1
    assert outcome.counts["shadow_labelled", "r", "b"] == 1
    assert [key[:2] for key in outcome.served] == [("r", "a")]


def test_a_second_served_arm_is_refused_whichever_comes_first() -> None:
    """The dead letter says how a shadow is marked."""
    outcome = joined(prediction_record("x", arm="a"), prediction_record("x", arm="b"))
    assert reasons(outcome) == ["conflict"]
    assert '"served": false' in outcome.dead_letters[0].detail
    assert reasons(joined(shadow("b"), prediction_record("x", arm="a"))) == []


@pytest.mark.parametrize(
    "second",
    [shadow("a"), shadow("b", route="elsewhere"), prediction_record("x", arm="a", prediction=0)],
    ids=["served and in shadow", "other route", "other answer"],
)
def test_what_contradicts_the_first_answer_is_refused(second: Record) -> None:
    """One arm has one answer, and a request one route."""
    outcome = joined(prediction_record("x", arm="a"), second)
    assert reasons(outcome) in (["conflict"], ["unknown_route"])


def test_the_same_shadow_twice_is_a_duplicate() -> None:
    """Counted apart from duplicates of what was served."""
    outcome = joined(prediction_record("x", arm="a"), shadow("b"), shadow("b", 5))
    assert outcome.counts["shadow_duplicate_prediction", "r", "b"] == 1
    assert not outcome.dead_letters


def test_a_label_that_one_arm_cannot_use_still_judges_the_others() -> None:
    """It is a dead letter too, once, with the reason."""
    outcome = joined(
        prediction_record("x", arm="a", prediction=1.0),
        shadow("b", prediction="text"),
        shadow("c", prediction=2.0),
        label_record("x", 1.5, 10),
        reward=NamedParams(name="absolute_error", params={"scale": 10.0}),
    )
    assert [one.arm for one in outcome.rewards] == ["c", "a"]
    assert reasons(outcome) == ["unrewardable"]


def test_a_shadow_whose_request_is_never_served_is_rewarded_and_closed() -> None:
    """The label is enough; an unlabelled one is an orphan of the shadows' own."""
    outcome = joined(shadow("b"), shadow("c"), label_record("x", 1, 10), prediction_record("y"))
    assert [one.beside for one in outcome.rewards] == [None, None]
    lonely = joined(shadow("b"), shadow("c"))
    swept = sweep(dict(lonely.entries), T_END, routes(window_s=1.0))
    assert swept.expired == ["x"]
    assert swept.counts["shadow_orphan_prediction", "r", "b"] == 1
    assert not swept.aged


def test_arms_and_bytes_of_a_request_are_bounded() -> None:
    """An entry is one record of the changelog."""
    many = [shadow(f"arm-{i}") for i in range(4)]
    assert reasons(joined(*many, max_arms=3)) == ["limit"]
    long = [shadow(f"arm-{i}", prediction="é" * 20_000) for i in range(7)]
    outcome = joined(*long)
    assert set(reasons(outcome)) == {"limit"}
    entry: Entry = outcome.entries["x"]
    assert isinstance(entry, Shared)
    assert len(encode_entry(entry)) <= MAX_ANSWERS_BYTES
    assert decode_entry(encode_entry(entry)) == entry


def test_a_plain_request_weighs_what_it_did() -> None:
    """One flag; on a route that expects no shadows nothing else is kept of its labels."""
    plain = joined(prediction_record("x"), label_record("x", 1, 5), label_depends_on_answer=True)
    assert not isinstance(plain.entries["x"], Shared)
