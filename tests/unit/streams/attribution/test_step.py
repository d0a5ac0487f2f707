"""The table of DESIGN.md section 6, row by row, and bad input."""

import pytest
from records import MAX_VALUE_BYTES, T0, Record, label_record, prediction_record, routes, runs

from leverframe.schemas.codec import encode
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import MAX_EARLY_LABELS
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.settings import NamedParams


def joined(*records: Record, window_s: float = 1.0, reward: str = "accuracy") -> AttributionOutcome:
    batch = runs(records, "predictions")
    route = routes(window_s=window_s, reward=reward)
    return attribute(batch, {}, route, max_value_bytes=MAX_VALUE_BYTES)


def reasons(outcome: AttributionOutcome) -> list[str]:
    return [letter.reason for letter in outcome.dead_letters]


def test_attribution_rewards_a_label_after_its_prediction() -> None:
    """Prediction then label: one reward, with the times of both."""
    (reward,) = joined(prediction_record("x", 10), label_record("x", 1, 60)).rewards
    assert (reward.reward, reward.revision, reward.cause) == (1.0, 0, "label")
    assert (reward.predicted_at_ms, reward.attributed_at_ms) == (T0 + 10, T0 + 60)


def test_attribution_rewards_a_label_before_its_prediction() -> None:
    """Label then prediction: one reward, at the prediction's time."""
    (reward,) = joined(label_record("x", 0), prediction_record("x", 60)).rewards
    assert (reward.reward, reward.attributed_at_ms) == (0.0, T0 + 60)


@pytest.mark.parametrize(
    "again", [prediction_record("x", 70), label_record("x", 1, 70)], ids=["prediction", "label"]
)
def test_attribution_counts_duplicates_and_does_nothing_else(again: Record) -> None:
    """The same half twice: one reward, no dead letter."""
    outcome = joined(prediction_record("x"), label_record("x", 1, 60), again)
    assert len(outcome.rewards) == 1
    assert not outcome.dead_letters
    assert sum(count for (what, _, _), count in outcome.counts.items() if "duplicate" in what) == 1


def test_attribution_sets_a_conflicting_prediction_aside() -> None:
    """The same id with another answer: the first one wins, the second is a dead letter."""
    outcome = joined(prediction_record("x"), prediction_record("x", prediction=0))
    assert reasons(outcome) == ["conflict"]


def test_attribution_revises_and_withdraws() -> None:
    """Another label revises, null withdraws; each says what it replaces and when that counted."""
    outcome = joined(
        prediction_record("x"),
        label_record("x", 1, 10),
        label_record("x", 0, 20),
        label_record("x", None, 30),
    )
    told = [(r.reward, r.previous_reward, r.revision, r.cause) for r in outcome.rewards]
    assert told == [
        (1.0, None, 0, "label"),
        (0.0, 1.0, 1, "revision"),
        (None, 0.0, 2, "withdrawal"),
    ]
    assert [r.counted_at_ms for r in outcome.rewards] == [None, T0 + 10, T0 + 10]


def test_attribution_tells_late_labels_from_orphans() -> None:
    """A label beyond the window is late and moves nothing; a late change is a dead letter."""
    late = joined(prediction_record("x"), label_record("x", 1, 1001))
    assert not late.rewards
    assert late.counts["late_label", "r", "a"] == 1
    closed = joined(prediction_record("x"), label_record("x", 1, 10), label_record("x", 0, 1001))
    assert len(closed.rewards) == 1
    assert reasons(closed) == ["window_closed"]


@pytest.mark.parametrize("label_first", [False, True])
def test_attribution_is_late_whichever_topic_was_read_first(*, label_first: bool) -> None:
    """A label written after the window is late, also when it was read before its prediction."""
    pair = [prediction_record("x", 0), label_record("x", 1, 2000)]
    outcome = joined(*(reversed(pair) if label_first else pair))
    assert not outcome.rewards
    assert outcome.counts["late_label", "r", "a"] == 1


def test_attribution_never_rewards_what_was_not_shown() -> None:
    """``shown: false`` is counted, not rewarded."""
    outcome = joined(prediction_record("x", shown=False), label_record("x", 1))
    assert not outcome.rewards
    assert outcome.counts["not_shown", "r", "a"] == 1


def test_attribution_keeps_all_early_labels_until_the_prediction_tells_which_were_in_time() -> None:
    """A later early label that turns out to be late does not hide the one that was in time."""
    early = [label_record("x", 1, 10), label_record("x", 0, 2000)]
    first = joined(*early, prediction_record("x", 5))
    then = joined(prediction_record("x", 5), *early)
    assert first.rewards == then.rewards
    assert [reward.reward for reward in first.rewards] == [1.0]


def test_attribution_sets_an_early_label_aside_that_has_no_reward() -> None:
    """The prediction waits on; the label's own content and coordinates are in the dead letter."""
    label = label_record("x", "cat", 10, labelled_at_ms=T0)
    outcome = joined(
        label, prediction_record("x", 20), label_record("x", 1, 30), reward="absolute_error"
    )
    (letter,) = outcome.dead_letters
    assert (letter.reason, letter.topic, letter.offset) == (
        "unrewardable",
        "ground-truth",
        label.offset,
    )
    assert (letter.key, letter.value) == (label.key, label.value)
    assert [reward.reward for reward in outcome.rewards] == [0.0]


def test_attribution_bounds_early_labels() -> None:
    """The 65th label of a request without a prediction is a dead letter."""
    outcome = joined(*(label_record("x", at, at) for at in range(MAX_EARLY_LABELS + 1)))
    assert reasons(outcome) == ["limit"]


def test_attribution_bounds_what_it_keeps_of_long_labels() -> None:
    """An entry stays one record: long early labels, long parts, endless sums are set aside."""
    text = "x" * 20_000
    early = joined(*(label_record("x", text + str(at), at) for at in range(9)))
    assert set(reasons(early)) == {"limit"}
    assert all(len(encode_entry(entry)) < 300_000 for entry in early.entries.values())
    for how, value, reason in (("last", text, "limit"), ("sum", 1.5e308, "unrewardable")):
        route = routes(combine_parts=how, reward="label" if how == "sum" else "accuracy")
        parts = [label_record("x", value, at, part=str(at)) for at in range(9)]
        batch = runs([prediction_record("x"), *parts], "predictions")
        outcome = attribute(batch, {}, route, max_value_bytes=MAX_VALUE_BYTES)
        assert set(reasons(outcome)) == {reason}
        assert all(len(encode_entry(entry)) < 300_000 for entry in outcome.entries.values())


def test_attribution_combines_parts_where_the_route_says_so() -> None:
    """A click, an order, its return: each moves the sum; a repeated part moves nothing."""
    route = routes(reward=NamedParams(name="label", params={"high": 100.0}), combine_parts="sum")
    records = [
        prediction_record("x"),
        label_record("x", 1, 10, part="click"),
        label_record("x", 25, 20, part="order"),
        label_record("x", 25, 25, part="order"),
        label_record("x", None, 30, part="order"),
        label_record("x", None, 40, part="click"),
    ]
    outcome = attribute(runs(records, "predictions"), {}, route, max_value_bytes=MAX_VALUE_BYTES)
    told = [(r.reward, r.previous_reward, r.cause) for r in outcome.rewards]
    assert told == [
        (1.0, None, "label"),
        (26.0, 1.0, "revision"),
        (1.0, 26.0, "revision"),
        (None, 1.0, "withdrawal"),
    ]
    assert outcome.counts["duplicate_label", "r", "a"] == 1


def test_attribution_says_what_to_set_for_a_part_on_a_route_that_combines_none() -> None:
    """A part without ``combine_parts`` is a dead letter that names the setting."""
    (letter,) = joined(prediction_record("x"), label_record("x", 1, part="click")).dead_letters
    assert letter.reason == "unsupported"
    assert "combine_parts" in letter.detail


BAD = {
    "unreadable": Record(b"x", b"{"),
    "not_utf8": Record(b"x", b'{"request_id": "\xff"}'),
    "deep": Record(b"x", b'{"request_id":"x","extra":' + b"[" * 50_000),
    "nan": Record(b"x", b'{"request_id":"x","route":"r","arm":"a","prediction":NaN}'),
    "infinite": Record(b"x", b'{"request_id":"x","route":"r","arm":"a","prediction":1e999}'),
    "wrong_type": Record(b"x", b'{"request_id":"x","route":"r","arm":7,"prediction":1}'),
    "missing_field": Record(b"x", b'{"request_id":"x","route":"r"}'),
    "tombstone": Record(b"x", None),
    "missing_key": Record(None, prediction_record("x").value),
    "key_mismatch": Record(b"y", prediction_record("x").value),
    "oversized": Record(b"x", b" " * (MAX_VALUE_BYTES + 1)),
    "unknown_route": prediction_record("x", route="elsewhere"),
    "nul_name": prediction_record("\0x"),
}
REASON = {
    "unreadable": "unreadable",
    "not_utf8": "unreadable",
    "deep": "unreadable",
    "nan": "unreadable",
    "infinite": "invalid",
    "wrong_type": "invalid",
    "missing_field": "invalid",
    "nul_name": "invalid",
}


@pytest.mark.parametrize("name", BAD)
def test_attribution_sets_bad_records_aside_and_goes_on(name: str) -> None:
    """A bad record is a dead letter with its raw bytes and a reason; its neighbours are joined."""
    outcome = joined(prediction_record("ok"), BAD[name], label_record("ok", 1))
    (letter,) = outcome.dead_letters
    assert letter.reason == REASON.get(name, name)
    assert (letter.key, letter.value) == (BAD[name].key, BAD[name].value)
    assert dict(letter.headers)["leverframe.reason"].decode() == letter.reason
    assert len(outcome.rewards) == 1


def test_attribution_names_the_path_of_a_bad_field() -> None:
    """A wrong type is refused with the path of the field."""
    (letter,) = joined(BAD["wrong_type"]).dead_letters
    assert "$.arm" in letter.detail


def test_attribution_sets_a_label_aside_that_has_no_reward() -> None:
    """A label that the reward function cannot use is a dead letter; the prediction waits on."""
    outcome = joined(
        prediction_record("x"), label_record("x", "high"), label_record("x", 3), reward="label"
    )
    assert reasons(outcome) == ["unrewardable"]
    assert [reward.reward for reward in outcome.rewards] == [3.0]


def test_attribution_keeps_one_expiry_bucket_for_a_batch() -> None:
    """Requests of one second share an index entry, each named once."""
    outcome = joined(prediction_record("x", 1), prediction_record("y", 2), label_record("x", 1, 3))
    assert outcome.expiring == {T0 + 1000: ["x", "y"]}


def test_prediction_keeps_defaults_off_the_wire() -> None:
    """Fields with their default are left out, so old readers see what they know."""
    prediction = Prediction(request_id="x", route="r", arm="a", prediction=True)
    assert encode(prediction) == b'{"request_id":"x","route":"r","arm":"a","prediction":true}'


@pytest.mark.parametrize(
    "record",
    [
        Record(b"x", b'{"request_id":"x","route":"r","arm":"a","prediction":%d}' % 10**30),
        Record(b"x", b'{"request_id":"x","label":%d}' % 10**30, topic="ground-truth"),
        prediction_record("x", route="\0positions"),
    ],
    ids=["prediction", "label", "route"],
)
def test_attribution_refuses_what_the_ledger_cannot_hold(record: Record) -> None:
    """Numbers beyond 64 bits and reserved names are dead letters, never a crash."""
    outcome = joined(record)
    assert outcome.dead_letters
    assert not outcome.entries


def test_attribution_refuses_weights_that_it_would_ignore() -> None:
    """A weighted label is set aside rather than counted as if it had none."""
    outcome = joined(prediction_record("x"), label_record("x", 1, weight=2.0))
    assert reasons(outcome) == ["unsupported"]
    assert not outcome.rewards


def test_attribution_hands_the_unit_on() -> None:
    """To every reward of the request, through the ledger's bytes; without one nothing is added."""
    outcome = joined(
        prediction_record("x", unit_id="user-1"), label_record("x", 1, 10), label_record("x", 0, 20)
    )
    assert [reward.unit_id for reward in outcome.rewards] == ["user-1", "user-1"]
    waiting = joined(prediction_record("x", unit_id="user-1")).entries["x"]
    assert decode_entry(encode_entry(waiting)) == waiting
    later = attribute(
        runs([label_record("x", 1, 10)], "predictions"),
        {"x": decode_entry(encode_entry(waiting))},
        routes(window_s=1.0),
        max_value_bytes=MAX_VALUE_BYTES,
    )
    assert later.rewards[0].unit_id == "user-1"
    assert decode_entry(encode_entry(later.entries["x"])) == later.entries["x"]
    plain = joined(prediction_record("x")).entries["x"]
    assert len(encode_entry(waiting)) == len(encode_entry(plain)) + len("user-1") + 1
    assert reasons(joined(prediction_record("x"), prediction_record("x", unit_id="user-1"))) == [
        "conflict"
    ]
