"""Labels that name a session: which turns get them, what is refused, what is kept."""

from typing import Any

import orjson
import pytest
from records import MAX_VALUE_BYTES, T0, Record, label_record, prediction_record, routes, runs

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import (
    MAX_ANSWERS_BYTES,
    MAX_LABELS_BYTES,
    Kept,
    Session,
)
from leverframe.streams.attribution.expiry import Sweep, sweep
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.sessions import MAX_TURNS, MAX_WAITING_LABELS
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import NamedParams

LABEL = NamedParams(name="label", params={"low": 0.0, "high": 10.0})


def turn(name: str, at: int = 0, **fields: Any) -> Record:
    return prediction_record(name, at, session_id="s", **fields)


def said(label: Any, at: int, name: str = "s", **fields: Any) -> Record:
    return label_record(name, label, at, session_id="s", **fields)


def joined(
    *records: Record, kept: dict[str, Kept] | None = None, **settings: Any
) -> AttributionOutcome:
    route = routes(window_s=1.0, reward=LABEL, **settings)
    batch = runs(records, "predictions")
    return attribute(batch, kept or {}, route, max_value_bytes=10 * MAX_VALUE_BYTES)


def swept(outcome: AttributionOutcome, until: int, **settings: Any) -> Sweep:
    """Sweep what is kept, through its codec."""
    kept = {key: decode_entry(encode_entry(entry)) for key, entry in outcome.entries.items()}
    return sweep(kept, T0 + until, routes(window_s=1.0, reward=LABEL, **settings))


def counted(rewards: list[Reward]) -> list[tuple[str, float | None]]:
    return [(reward.request_id, reward.reward) for reward in rewards]


def reasons(letters: list[DeadLetter]) -> list[str]:
    return [letter.reason for letter in letters]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("last", [("b", 8.0)]),
        ("all", [("a", 8.0), ("b", 8.0)]),
        ("decayed", [("a", 2.0), ("b", 8.0)]),
    ],
)
def test_the_route_says_which_turns_get_a_label(
    rule: str, expected: list[tuple[str, float]]
) -> None:
    """Turns before the label, shown; whose own is theirs, and what came after it gets nothing."""
    rules: dict[str, Any] = {"session_label": rule, "session_decay": 0.25}
    outcome = joined(
        turn("a", 0),
        turn("b", 100),
        turn("hidden", 110, shown=False),
        said(8.0, 200),
        turn("c", 300),
        **rules,
    )
    assert outcome.rewards == []
    assert swept(outcome, 200, **rules).rewards == []
    assert counted(swept(outcome, 201, **rules).rewards) == expected


def test_a_turn_with_a_label_of_its_own_keeps_it() -> None:
    """Whichever came first; the turn before it does not get the session's instead."""
    own, whole = said(1.0, 200, "b"), said(8.0, 210)
    for labels in ((own, whole), (said(8.0, 190), own)):
        outcome = joined(turn("a", 0), turn("b", 100), *labels)
        last = {one.request_id: one.reward for one in swept(outcome, 900).rewards}
        assert last == {"b": 1.0}


def test_a_label_too_old_for_its_turn_keeps_no_other_away() -> None:
    """It counted for nothing there, whether a sweep has forgotten it or not."""
    early = joined(said(1.0, 0, "a"))
    later = [turn("a", 1001), said(8.0, 1100)]
    for until in (500, 1001):
        first = swept(early, until)
        outcome = joined(*later, kept=dict(first.changed))
        assert counted(swept(outcome, 1200).rewards) == [("a", 8.0)]


def test_labels_count_by_their_time_whatever_their_place() -> None:
    """A producer's clock may be behind another's: cuts of the sweep make no difference."""
    rules: dict[str, Any] = {"session_label": "all"}
    outcome = joined(turn("a"), said(3.0, 200), said(8.0, 100), **rules)
    at_once = swept(outcome, 900, **rules).rewards
    first = swept(outcome, 150, **rules)
    then = sweep(first.changed, T0 + 900, routes(window_s=1.0, reward=LABEL, **rules))
    assert counted(at_once) == [("a", 8.0), ("a", 3.0)]
    assert [*first.rewards, *then.rewards] == at_once


def test_the_session_is_the_unit_and_the_key() -> None:
    """The guard counts a session once a period; all of it lies under one key of the ledger."""
    outcome = joined(turn("a"), turn("b", 1, unit_id="user-1"), said(8.0, 2), session_label="all")
    assert outcome.entries.keys() == {"s"}
    assert len(outcome.units) == 2
    rewards = swept(outcome, 900, session_label="all").rewards
    assert [reward.unit_id for reward in rewards] == ["s", "user-1"]


def test_metrics_of_a_label_count_once() -> None:
    """Named scores of one label: those of the last turn, whatever the rule."""
    metrics = {"safety": MetricSettings(role="signal", range=(0.0, 1.0))}
    rules: dict[str, Any] = {"session_label": "all", "metrics": metrics}
    outcome = joined(turn("a"), turn("b", 1), said(8.0, 2, metrics={"safety": 0.5}), **rules)
    assert [one.values for _, one in swept(outcome, 900, **rules).measured] == [{"safety": 0.5}]


def test_a_judge_moves_no_reward() -> None:
    """Its first score of a turn is a metric, of the last turn where it names none; once."""
    metrics = {"judge": MetricSettings(role="signal", range=(0.0, 1.0), worse="lower")}
    rules: dict[str, Any] = {"session_label": "all", "metrics": metrics}
    outcome = joined(
        turn("a"),
        turn("b", 1),
        said(0.25, 2, judge=True),
        said(1.0, 3, "b", judge=True),
        said(0.5, 4, "a", judge=True),
        said(8.0, 5),
        said(0.75, 6, judge=True, metrics={"judge": 1.0}),
        **rules,
    )
    found = swept(outcome, 900, **rules)
    assert counted(found.rewards) == [("a", 8.0), ("b", 8.0)]
    assert [one.values for _, one in found.measured] == [{"judge": 0.25}, {"judge": 0.5}]
    assert found.counts["judged", "r", "a"] == found.counts["duplicate_label", "r", "a"] == 2
    late = joined(said(1.0, 950, judge=True), kept=dict(found.changed), **rules)
    assert swept(late, 960, **rules).measured == []
    kept = found.changed["s"]
    assert isinstance(kept, Session)
    assert kept.judged == ["b", "a"]
    for label in ("good", None):
        assert reasons(joined(said(label, 0, judge=True)).dead_letters) == ["invalid"]
    assert reasons(joined(label_record("x", 1, judge=True)).dead_letters) == ["unsupported"]


def test_a_session_ends_with_its_last_turn() -> None:
    """Nothing is left of it; a label that finds no turn is an orphan."""
    outcome = joined(turn("a"), turn("b", 100), said(8.0, 150))
    first = swept(outcome, 1050)
    kept = first.changed["s"]
    assert isinstance(kept, Session)
    assert (list(kept.turns), kept.labels) == (["b"], [])
    assert swept(outcome, 1200).expired == ["s"]
    assert swept(outcome, 1200).changed == {}
    alone = swept(joined(said(8.0, 5)), 900)
    assert alone.expired == ["s"]
    assert alone.counts["orphan_label", "", ""] == 1


def test_the_sweep_comes_back_for_every_label_and_turn() -> None:
    """As long as anything is left, the index names the session."""
    outcome = joined(turn("a"), said(8.0, 500))
    assert set(outcome.expiring) == {T0 + 1000 - (T0 + 1000) % 1000, T0 + 500 - (T0 + 500) % 1000}
    assert swept(outcome, 400).expiring == {T0 + 500 - (T0 + 500) % 1000: ["s"]}
    assert swept(outcome, 600).expiring == {T0 + 1000 - (T0 + 1000) % 1000: ["s"]}


def test_silence_in_a_session_counts_the_default() -> None:
    """A turn that nobody labels is as any request."""
    rules: dict[str, Any] = {"default_reward": 0.0, "default_after_s": 0.5}
    outcome = joined(turn("a"), turn("b", 100), said(8.0, 150), **rules)
    assert counted(swept(outcome, 900, **rules).rewards) == [("b", 8.0), ("a", 0.0), ("b", 8.0)]


def test_refuses_what_cannot_be_shared() -> None:
    """Each with its reason; the dead letter of a label can be put back as it came."""
    assert reasons(joined(turn("s")).dead_letters) == ["invalid"]
    assert reasons(joined(said(1.0, 0, part="click")).dead_letters) == ["unsupported"]
    assert reasons(joined(prediction_record("s"), turn("a")).dead_letters) == ["conflict"]
    assert reasons(joined(turn("a"), prediction_record("s")).dead_letters) == ["conflict"]
    assert reasons(joined(turn("a"), label_record("s", 1)).dead_letters) == ["conflict"]
    moved = Record(b"a", turn("a").value, T0)
    assert reasons(joined(moved).dead_letters) == ["key_mismatch"]
    decayed = {"session_label": "decayed"}
    outcome = joined(turn("a"), turn("b", 1), said("fine", 2), **decayed)
    (letter,) = swept(outcome, 900, **decayed).dead_letters
    assert (letter.reason, letter.key, letter.offset >= 0) == ("unrewardable", b"s", True)
    told = orjson.loads(letter.value or b"")
    assert (told["request_id"], told["session_id"], told["label"]) == ("s", "s", "fine")


def test_sessions_are_bounded() -> None:
    """Turns, their bytes, and labels that wait; what is too much is a dead letter, alone."""
    many = [turn(f"t{number}", number) for number in range(MAX_TURNS + 1)]
    assert reasons(joined(*many).dead_letters) == ["limit"]
    long = "x" * (MAX_ANSWERS_BYTES // 8)
    large = [turn(f"t{number}", number, prediction=long) for number in range(3)]
    outcome = joined(*large)
    assert reasons(outcome.dead_letters) == ["limit"] * 2
    assert len(encode_entry(outcome.entries["s"])) < MAX_ANSWERS_BYTES
    labels = [said(1.0, number) for number in range(MAX_WAITING_LABELS + 2)]
    assert reasons(joined(*labels).dead_letters) == ["limit"] * 2


def test_no_producer_makes_an_entry_too_large() -> None:
    """Names, metrics and texts as long as they may be, labels of turns that never come."""
    wide = "\U0001d54f"
    metrics = {f"{number:02}" + wide * 62: 1.0 for number in range(16)}
    kept: dict[str, Kept] = {}
    for again in range(4):
        names = [f"{again}{number:03}" + wide * 124 for number in range(300)]
        records = [turn(name, 0, prediction=wide * 100, unit_id=wide * 128) for name in names]
        records += [said(wide * 100, 1, name[::-1], metrics=metrics) for name in names]
        records += [said(1.0, 1, name, judge=True) for name in names]
        outcome = joined(*records, kept=kept)
        found = swept(outcome, 900)
        kept = {"s": found.changed["s"]}
        for entry in (outcome.entries["s"], kept["s"]):
            assert len(encode_entry(entry)) < MAX_ANSWERS_BYTES + MAX_LABELS_BYTES
        assert {*reasons(outcome.dead_letters), *reasons(found.dead_letters)} <= {"limit"}
        assert outcome.dead_letters
        assert found.dead_letters


def test_a_turn_that_is_sent_twice_counts_once() -> None:
    """A duplicate changes nothing; another content is a conflict."""
    outcome = joined(turn("a"), turn("a", 1), turn("a", 2, arm="b"), said(8.0, 3))
    assert outcome.counts["duplicate_prediction", "r", "a"] == 1
    assert reasons(outcome.dead_letters) == ["conflict"]
    assert counted(swept(outcome, 900).rewards) == [("a", 8.0)]
