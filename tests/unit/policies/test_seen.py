"""Which units were counted in a period: exact below the limit of memory, fair beyond it."""

import random

import msgspec
import pytest

from leverframe.policies.guard.seen import MOST_UNITS, SeenUnits, hash_unit, note_unit, seen_in


def test_seen_counts_each_unit_once_in_each_period() -> None:
    """Below the limit, labels at most a period late: exactly the set of (unit, period), in order.

    But for a unit that was counted in the newer of two periods before: it is not counted in the
    older one.
    """
    rng = random.Random(1)
    seen, counted, newest = SeenUnits(), {}, 0
    for i in range(20_000):
        period = max(0, i // 2000 - rng.randrange(2))
        newest = max(newest, period)
        unit = hash_unit(f"u{rng.randrange(700)}")
        expected = counted.get(unit, -1) < period
        assert note_unit(seen, unit, period) == expected
        if expected:
            counted[unit] = period
    assert newest == 9


def test_seen_is_bounded_and_keeps_a_fair_sample() -> None:
    """A million units of one period: never more than the limit, and nobody twice.

    Who goes on counting is drawn by the hash alone, so both halves of the units are counted alike:
    within 4 standard deviations (false alarm 1e-4).
    """
    seen = SeenUnits()
    counted = [0, 0]
    for i in range(100_000):
        counted[i % 2] += note_unit(seen, hash_unit(f"user-{i}"), 5)
        assert len(seen.now) + len(seen.before) <= MOST_UNITS
    total = sum(counted)
    assert MOST_UNITS < total < 7 * MOST_UNITS
    assert abs(counted[0] - counted[1]) < 4 * total**0.5
    again = sum(note_unit(seen, hash_unit(f"user-{i}"), 5) for i in range(100_000))
    assert again == 0
    assert note_unit(seen, hash_unit("user-0"), 6)


def test_seen_closes_the_period_before_when_there_is_no_room() -> None:
    """Whom it forgets is not counted again there."""
    seen = SeenUnits()
    assert all(note_unit(seen, unit, 1, most=4) for unit in range(4))
    assert [note_unit(seen, unit, 2, most=4) for unit in range(4, 6)] == [True, True]
    assert not seen.before
    assert not any(note_unit(seen, unit, 1, most=4) for unit in range(10))


@pytest.mark.parametrize("period", [3, 5])
def test_seen_closes_periods_that_are_older(period: int) -> None:
    """A period after a gap leaves nothing open but itself and the one before it."""
    seen = SeenUnits()
    note_unit(seen, 1, 3)
    note_unit(seen, 1, 10)
    assert not note_unit(seen, 2, period)
    assert note_unit(seen, 2, 9)


def test_seen_begins_anew_with_another_length_and_survives_its_codec() -> None:
    """Numbers of days say nothing about numbers of hours; order and content are kept."""
    seen = seen_in(SeenUnits(), 86_400_000, 0)
    for unit in (5, 3, 9):
        note_unit(seen, unit, 20_000)
    now_ms = 20_000 * 86_400_000
    assert seen_in(seen, 86_400_000, now_ms) is seen
    assert seen_in(seen, 3_600_000, now_ms) == SeenUnits(length_ms=3_600_000)
    raw = msgspec.msgpack.encode(seen)
    back = msgspec.msgpack.decode(raw, type=SeenUnits)
    assert back == seen
    assert msgspec.msgpack.encode(back) == raw
