"""Units with several requests: what the guard counts of them, and the salt that draws them anew."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from records import MAX_VALUE_BYTES, T0, Record, learning_runs, reward_record, routes

from leverframe.schemas.errors import SettingsError
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.restart import carry_over
from leverframe.streams.learning.state import (
    RouteState,
    decode_route,
    encode_route,
    salt_of,
    state_digest,
)
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.periods import period_ms
from leverframe.streams.routes.route import Routes

HOUR = 3_600_000


def folded(records: Sequence[Record], route: Routes, cuts: Sequence[int] = ()) -> RouteState:
    """Fold records cut into micro-batches, the state through its codec in between."""
    raw: bytes | None = None
    bounds = [0, *sorted(cuts), len(records)]
    for begin, end in zip(bounds, bounds[1:], strict=False):
        states = {} if raw is None else {"r": decode_route(raw)}
        batch = learning_runs(records[begin:end])
        outcome = learn(batch, states, route, max_value_bytes=MAX_VALUE_BYTES)
        assert not outcome.dead_letters
        if "r" in outcome.states:
            raw = encode_route(outcome.states["r"])
    assert raw is not None
    return decode_route(raw)


def label(arm: str, reward: float, at: int, unit: str | None, **fields: Any) -> Record:
    return reward_record(arm, reward, at, unit_id=unit, **fields)


def test_guard_sees_the_first_label_of_each_unit_and_period() -> None:
    """All labels move the statistics; on whatever arm, a unit is seen once an hour."""
    records = [
        label("a", 1.0, 0, "u"),
        label("a", 0.0, 1, "u"),
        label("b", 0.0, 2, "u"),
        label("b", 1.0, 3, "v"),
        label("a", 0.5, 4, None),
        label("a", 0.5, 5, None),
        label("b", 0.25, HOUR, "u"),
    ]
    state = folded(records, routes(reassign_units="1h"))
    a, b = state.arms["a"], state.arms["b"]
    assert (a.count, b.count) == (4, 3)
    assert a.firsts == (3, 2_000_000_000)
    assert b.firsts == (2, 1_250_000_000)
    assert b.last_label_ms == T0 + HOUR


def test_guard_hears_of_a_unit_that_it_does_not_count() -> None:
    """Labels of known units are labels: an arm that gets them is not silent."""
    state = folded([label("a", 1.0, 0, "u"), label("a", 1.0, 500, "u")], routes())
    assert state.arms["a"].first_count == 1
    assert state.arms["a"].last_label_ms == T0 + 500


def test_guard_counts_a_request_in_the_period_in_which_it_was_served() -> None:
    """A label that comes an hour later belongs to the prediction's period; a clock ahead to now."""
    late = label("a", 1.0, HOUR, "u", predicted_at_ms=T0 - T0 % HOUR)
    again = label("a", 1.0, HOUR + 1, "u", predicted_at_ms=T0 - T0 % HOUR + 1)
    ahead = label("a", 1.0, HOUR + 2, "u", predicted_at_ms=T0 + 90 * HOUR)
    state = folded([late, again, ahead], routes(reassign_units="1h"))
    assert state.arms["a"].first_count == 2
    assert state.units.period == (T0 + HOUR) // HOUR


def test_a_clock_far_ahead_does_not_close_everybodys_periods() -> None:
    """A record from next year counts; the guard then begins anew, and sees each unit again."""
    ahead = label("a", 1.0, 9000 * HOUR, "v")
    users = [label("a", 1.0, i, f"u{i % 5}") for i in range(20)]
    state = folded([*users[:10], ahead, *users[10:]], routes(reassign_units="1h"))
    assert state.arms["a"].first_count == 5 + 1 + 5
    assert state.units.period == T0 // HOUR


def test_revisions_do_not_touch_what_the_guard_saw() -> None:
    """The statistics follow a revision and a withdrawal exactly, what was bet on stays."""
    records = [
        label("a", 1.0, 0, "u", request_id="q"),
        label(
            "a", 0.0, 1, "u", request_id="q", revision=1, cause="revision", previous_reward=1.0,
            counted_at_ms=T0,
        ),
        label(
            "a", None, 2, "u", request_id="q", revision=2, cause="withdrawal", previous_reward=0.0,
            counted_at_ms=T0,
        ),
        label("a", 0.5, 3, "u"),
    ]  # fmt: skip
    arm = folded(records, routes()).arms["a"]
    assert (arm.count, arm.sum_nano) == (1, 500_000_000)
    assert arm.firsts == (1, 1_000_000_000)


def test_units_do_not_depend_on_the_cut_into_micro_batches() -> None:
    """40 users over three hours: any cut gives the same bytes and the same digest."""
    rng = random.Random(5)
    records = [
        label(rng.choice("ab"), float(rng.random() < 0.8), i * 5000, f"u{rng.randrange(40)}")
        for i in range(2000)
    ]
    route = routes(reassign_units="1h")
    whole = folded(records, route)
    cut = folded(records, route, sorted(rng.sample(range(2000), 60)))
    assert encode_route(whole) == encode_route(cut)
    assert state_digest(whole) == state_digest(cut)
    whole.units.now.popitem()
    assert state_digest(whole) != state_digest(cut)
    assert sum(arm.first_count for arm in cut.arms.values()) <= 40 * 4 < 2000


def test_a_heavy_user_does_not_roll_back_an_equal_arm() -> None:
    """One user with half of the traffic keeps arm b and likes neither: seen once a day.

    Without its unit the same labels take the arm off the line.
    """
    rng = random.Random(9)
    named, unnamed = ([label("a", 1.0, -1, None)] for _ in range(2))
    for i in range(6000):
        is_heavy = rng.random() < 0.5
        arm = "b" if is_heavy else rng.choice("ab")
        reward = float(rng.random() < (0.3 if is_heavy else 0.9))
        unit = "heavy" if is_heavy else f"u{i}"
        named.append(label(arm, reward, i * 10, unit))
        unnamed.append(label(arm, reward, i * 10, None))
    assert folded(named, routes(nursery_labels=0)).arms["b"].phase != "quarantined"
    assert folded(unnamed, routes(nursery_labels=0)).arms["b"].phase == "quarantined"


def test_old_state_reads_without_units() -> None:
    """What was kept before there were units is a state in which none was seen."""
    import msgspec

    state = folded([label("a", 1.0, 0, None)], routes())
    fields = msgspec.msgpack.decode(encode_route(state))
    before = msgspec.msgpack.encode(fields[:-2])
    assert decode_route(before) == state


def test_salt_changes_with_the_period_and_never_goes_back() -> None:
    """Constant where units are not drawn anew; else by time, also when a job catches up."""
    plain = routes().get("r")
    hourly = routes(reassign_units="1h").get("r")
    assert plain is not None
    assert hourly is not None
    state = folded([label("a", 1.0, 0, "u")], routes(reassign_units="1h"))
    now, later, before = (heartbeat(state, hourly, at).salt for at in (T0, T0 + HOUR, T0))
    assert now == salt_of("r", T0 // HOUR)
    assert later == before == salt_of("r", T0 // HOUR + 1) != now
    assert heartbeat(state, plain, T0).salt == salt_of("r")
    anew = carry_over(state, None, T0)
    assert anew is not None
    assert anew.salt_period == state.salt_period
    digest = state_digest(state)
    heartbeat(state, hourly, T0 + 5 * HOUR)
    assert state_digest(state) == digest


@pytest.mark.parametrize(
    ("written", "ms"), [("90s", 90_000), ("15m", 900_000), ("7d", 604_800_000)]
)
def test_periods_are_read_as_written(written: str, ms: int) -> None:
    """A number and a letter."""
    assert period_ms(written) == ms


def test_a_period_that_is_none_is_refused_with_its_path() -> None:
    """With the place in the settings."""
    from leverframe.agents.settings import load_settings

    with pytest.raises(SettingsError, match="reassign_units"):
        load_settings(None, {"LEVERFRAME_ROUTES__R__REASSIGN_UNITS": "daily"})
    settings = load_settings(None, {"LEVERFRAME_ROUTES__R__REASSIGN_UNITS": "24h"})
    assert settings.routes["r"].reassign_units == "24h"
