"""Where reading goes on, by what the ledger counted and what lies on the broker."""

import pytest

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.inputs import (
    InputFacts,
    Resumption,
    find_renewed,
    resume,
    resume_source,
)
from leverframe.streams.runtime.ledger import Loss, Positions

ADVISORY = {"acks"}
NOW_MS = 5_000


def decide(positions: Positions, *, is_restored: bool = True, **facts: InputFacts) -> Resumption:
    return resume(positions, facts, 3, advisory=ADVISORY, is_restored=is_restored, now_ms=NOW_MS)


def test_a_topic_is_read_on_from_what_the_ledger_counted_wherever_the_group_stands() -> None:
    """Committed offsets are a hint: somebody moved them on, or back."""
    for committed in (0, 5, 900):
        found = decide(Positions({"p": 50}), p=InputFacts("a", 0, 1_000, committed))
        assert found == Resumption(Positions({"p": 50}, {}, {"p": "a"}))


def test_a_new_ledger_begins_at_the_begin() -> None:
    """A first start counts what lies there already."""
    found = decide(Positions(), is_restored=False, p=InputFacts("a", 7, 1_000))
    assert found.positions == Positions({"p": 7}, {}, {"p": "a"})
    assert not found.lost


def test_what_retention_removed_is_counted_as_lost() -> None:
    """Positions go on at the begin of what is left, and keep what was lost since ever."""
    before = Positions({"p": 50}, lost={"p": Loss(5, 1)})
    found = decide(before, p=InputFacts("a", 80, 1_000))
    assert found.lost == {"p": 30}
    assert found.positions.offsets == {"p": 80}
    assert found.positions.lost == {"p": Loss(35, NOW_MS)}
    assert before.lost == {"p": Loss(5, 1)}


@pytest.mark.parametrize(
    ("positions", "fact"),
    [
        (Positions({"p": 50}, {}, {"p": "a"}), InputFacts("b", 0, 1_000)),
        (Positions({"p": 0}, {}, {"p": "a"}), InputFacts("b", 0, 0)),
        (Positions({"p": 50}), InputFacts("b", 0, 49)),
        (Positions({"p": 50}), InputFacts("", 0, 49)),
    ],
)
def test_a_topic_that_was_made_anew_is_refused(positions: Positions, fact: InputFacts) -> None:
    """Told by its id, or on old brokers by its end."""
    with pytest.raises(LedgerError, match=r"p-3: .*made anew.*restart-from"):
        decide(positions, p=fact)


def test_an_advisory_topic_that_was_made_anew_is_read_from_its_begin() -> None:
    """It says how far replicas follow; no statistic depends on it, and times of the old one go."""
    found = decide(Positions({"acks": 50}, {"acks": 9}, {"acks": "a"}), acks=InputFacts("b", 0, 4))
    assert found == Resumption(Positions({"acks": 0}, {}, {"acks": "b"}), {}, ["acks"])


def test_an_empty_ledger_of_a_group_that_has_read_is_refused() -> None:
    """Its changelog was lost: statistics at nothing and epochs at 0 would fool subscribers."""
    with pytest.raises(LedgerError, match=r"read up to offset 60, but the ledger .* is empty"):
        decide(Positions(), is_restored=False, p=InputFacts("a", 0, 100, 60))
    fresh = decide(Positions(), is_restored=False, acks=InputFacts("a", 0, 100, 60))
    assert fresh.positions.offsets == {"acks": 0}


def test_a_topic_that_is_gone_may_come_back() -> None:
    """Only another id says that it was made anew."""
    assert find_renewed({"p": "a", "q": "b"}, {"p": "a"}) == []
    assert find_renewed({"p": "a", "q": "b"}, {"p": "c", "q": "b"}) == ["p"]


def test_a_source_is_read_on_from_its_position() -> None:
    """From its position; from the first record where it was made anew; never from nowhere."""
    fact = InputFacts("id", 10, 100, 0)
    assert resume_source(50, "id", fact, begins_latest=True) == (50, "")
    assert resume_source(5, "id", fact, begins_latest=False) == (10, "lost")
    assert resume_source(50, "other", fact, begins_latest=False) == (10, "renewed")
    assert resume_source(500, "id", fact, begins_latest=False) == (10, "renewed")
    assert resume_source(None, "", fact, begins_latest=False) == (10, "")
    assert resume_source(None, "", fact, begins_latest=True) == (100, "")
    read = InputFacts("id", 10, 100, 60)
    assert resume_source(None, "", read, begins_latest=True) == (60, "forgotten")
