"""Metrics in the reward: quality less what it cost, bounded, and mapped to [0, 1]."""

from typing import Any

import pytest
from records import MAX_VALUE_BYTES, Record, label_record, prediction_record, routes, runs

from leverframe.policies.reward_base import to_unit
from leverframe.schemas.errors import PolicyError
from leverframe.streams.attribution.entries import PricedWaiting, price_of, unit_of
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.metrics import MetricSettings

COST = {"cost": MetricSettings(role="reward", range=(0, 10), weight=-0.3)}


def joined(*records: Record, **settings: Any) -> AttributionOutcome:
    table = routes(metrics=COST, **settings)
    return attribute(runs(records, "predictions"), {}, table, max_value_bytes=MAX_VALUE_BYTES)


@pytest.mark.parametrize(
    ("metrics", "reward"),
    [({"cost": 2.0}, 0.4), ({"cost": 99.0}, -2.0), ({"cost": -1.0}, 1.0), (None, -2.0)],
    ids=["within", "above the range", "below it", "missing: the worst"],
)
def test_a_reward_is_quality_less_cost(metrics: Any, reward: float) -> None:
    """Whichever half comes first; clipped to the range, a missing value is as bad as any."""
    halves = prediction_record("x", metrics=metrics), label_record("x", 1, 9)
    for order in (halves, halves[::-1]):
        (told,) = joined(*order).rewards
        assert told.reward == pytest.approx(reward)


def test_the_range_of_the_reward_holds_the_price() -> None:
    """What policies and guard see lies in [0, 1]: the dearest mistake is 0, a free hit 1."""
    route = routes(metrics=COST).get("r")
    assert route is not None
    assert (route.reward_low, route.reward_high) == (-3.0, 1.0)
    assert to_unit(0.4, route.reward_low, route.reward_high) == pytest.approx(0.85)


def test_revisions_and_defaults_keep_the_price() -> None:
    """A changed label replaces what was told with the price; silence costs as much."""
    said = prediction_record("x", metrics={"cost": 2.0})
    first, second = joined(said, label_record("x", 1, 9), label_record("x", 0, 19)).rewards
    assert (second.previous_reward, second.reward) == (first.reward, pytest.approx(-0.6))
    settings = {"metrics": COST, "default_reward": 0.0, "window_s": 1.0}
    found = joined(said, default_reward=0.0, window_s=1.0).entries
    (expired,) = sweep(found, said.timestamp + 5000, routes(**settings)).rewards
    assert (expired.cause, expired.reward) == ("expiry", pytest.approx(-0.6))


def test_a_price_survives_the_ledger_with_its_unit() -> None:
    """Duplicates are told by it; another price is another content."""
    said = prediction_record("x", metrics={"cost": 2.0}, unit_id="u")
    entry = joined(said).entries["x"]
    assert isinstance(entry, PricedWaiting)
    assert decode_entry(encode_entry(entry)) == entry
    assert (unit_of(entry), price_of(entry)) == ("u", pytest.approx(-0.6))
    other = prediction_record("x", metrics={"cost": 3.0}, unit_id="u")
    assert not joined(said, said).dead_letters
    assert [letter.reason for letter in joined(said, other).dead_letters] == ["conflict"]


def test_what_does_not_go_with_prices_is_refused() -> None:
    """Answers in shadow have none, and neither has a request that is expected to be labelled."""
    with pytest.raises(PolicyError, match=r"label_depends_on_answer: must be true"):
        routes(metrics=COST, label_depends_on_answer=False)
    with pytest.raises(PolicyError, match=r"delay_correction: does not go"):
        routes(metrics=COST, delay_correction=True)
    with pytest.raises(PolicyError, match=r"metrics\.cost\.weight: goes with role"):
        routes(metrics={"cost": MetricSettings(role="signal", range=(0, 1), weight=1.0)})
    with pytest.raises(PolicyError, match=r"metrics\.cost\.weight: goes with role"):
        routes(metrics={"cost": MetricSettings(role="reward", range=(0, 1))})
