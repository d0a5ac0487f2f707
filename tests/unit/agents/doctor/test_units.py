"""The doctor asks: are arms drawn by user, and are predictions silent about it."""

import random

from leverframe.agents.doctor.units import Served, judge_units, served_of


def asked(
    seed: int, count: int, *, users: int, is_sticky: bool, named: bool = False
) -> list[Served]:
    """Requests of users who ask one question each, on two arms at 0.7 and 0.3."""
    rng = random.Random(seed)
    own = [rng.choices("ab", (0.7, 0.3))[0] for _ in range(users)]
    served = []
    for _ in range(count):
        user = rng.randrange(users)
        arm = own[user] if is_sticky else rng.choices("ab", (0.7, 0.3))[0]
        question = user.to_bytes(2, "big")
        served.append(
            Served(route="r", arm=arm, question=question, unit_id=f"u{user}" if named else "")
        )
    return served


def test_doctor_asks_where_repeated_contexts_keep_their_arm() -> None:
    """On each of 20 routes by user, on none of 200 by request (false alarm one in a million)."""
    for seed in range(20):
        (found,) = judge_units(asked(seed, 400, users=100, is_sticky=True), ())
        assert (found.check, found.state, found.where) == ("units", "warning", "route r")
        assert "repeated contexts met the arm they had met before" in found.detail
        assert "unit_id" in found.cure
    for seed in range(200):
        assert not list(judge_units(asked(seed, 400, users=100, is_sticky=False), ()))


def test_doctor_is_silent_without_contexts_or_with_one_arm() -> None:
    """Nothing repeated, or nothing that could differ, says nothing."""
    bare = [Served(route="r", arm="ab"[i % 2]) for i in range(500)]
    alone = [Served(route="r", arm="a", question=b"q") for _ in range(500)]
    assert not list(judge_units([*bare, *alone][:500], ()))
    assert not list(judge_units(alone, ()))


def test_doctor_tells_named_units_that_keep_their_arm_for_ever() -> None:
    """A warning without reassign_units, a plain line with it; one request each needs neither."""
    seen = asked(1, 400, users=100, is_sticky=True, named=True)
    (kept,) = judge_units(seen, ())
    assert (kept.state, "reassign_units" in kept.cure) == ("warning", True)
    (drawn,) = judge_units(seen, ["r"])
    assert (drawn.state, drawn.detail) == ("ok", "400 requests name 97 units")
    once = [Served(route="r", arm="a", unit_id=f"u{i}") for i in range(50)]
    assert not list(judge_units(once, ()))


def test_doctor_reads_who_was_served_and_nothing_else() -> None:
    """Equal contexts hash alike; what is no prediction is left out."""
    one, same, other = (
        served_of(b'{"route":"r","arm":"a","context":[1,%s],"unit_id":"u"}' % x)
        for x in (b"2", b"2", b"3")
    )
    assert one == same
    assert one is not None
    assert other is not None
    assert (one.route, one.arm, one.unit_id) == ("r", "a", "u")
    assert one.question != other.question
    assert served_of(b'{"route":"r"}') is None
    assert served_of(b"\xff") is None
    assert served_of(None) is None
