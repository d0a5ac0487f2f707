"""The sizing formula: its arithmetic, its fit, and the page that it makes."""

import json
import math
from pathlib import Path

import msgspec
import pytest

from bench.growth.measure import Load, Point
from bench.growth.results import Growth, Measured, read_growth
from bench.growth.route_costs import batch_labels, per_touch, touched
from bench.growth.shapes import AXES, BASE, Shape, environment_of, filled_up, made_pairs
from bench.growth.table import table
from bench.rig.load import LAG, staggered
from bench.sizing import __main__ as sizing
from bench.sizing.coefficients import Coefficients, fitted, slope
from bench.sizing.event_costs import DAY_S, Need, event_bytes, event_us
from bench.sizing.formula import limits, plan
from bench.sizing.tables import body
from leverframe.schemas.codec import decoder
from leverframe.schemas.prediction import Prediction

ROOT = Path(__file__).parents[3]

KNOWN = Coefficients(
    worker_us=20.0,
    worker_us_per_kb=4.0,
    worker_us_per_arm=0.1,
    worker_us_per_doubling=1.0,
    waiting_free=100_000.0,
    batch_labels=5_000.0,
    worker_us_per_touch=400.0,
    broker_us_per_touch=40.0,
    bytes_per_touch=1_000.0,
    learning_us=10.0,
    light_cores=0.5,
    route_cores=0.0001,
    broker_us=5.0,
    broker_us_per_kb=2.0,
    broker_light_cores=0.4,
    input_bytes=140.0,
    changelog_bytes=110.0,
    output_bytes=130.0,
    learning_bytes=20.0,
    bytes_per_arm=1.0,
    store_bytes=100.0,
    restored_per_s=200_000.0,
    start_s=3.0,
)


def growth(points: dict[tuple[str, int], list[float]]) -> Growth:
    """Measurements in which a point's worker_us is given, by run."""
    measured = [
        Measured(
            axis=axis,
            at=at,
            run=run,
            point=Point(
                shape=msgspec.structs.replace(BASE, **{axis: at}),
                events_per_s=round(1e6 / us),
                worker_us=us,
            ),
        )
        for (axis, at), runs in points.items()
        for run, us in enumerate(runs)
    ]
    return Growth(cores=2, load=Load(pairs=1, rate=1000.0, seconds=1.0), measured=measured)


def test_plan_is_the_arithmetic_of_the_page() -> None:
    """Every figure can be had by hand."""
    found = plan(KNOWN, Need(rate=100_000, window_s=3600.0, hottest=0.1))
    assert found.waiting == 180_000_000
    assert found.processes == 5
    # Each of the five has 36 million waiting, 360 times what costs nothing more.
    # Each learns of 2 routes, where 10 were measured; a micro-batch touches all of them.
    fewer = (2 - 10) / (2 * 5000)
    assert found.worker_cores == pytest.approx(
        0.1 * (20 + math.log2(360) + 400 * fewer) + 10 * 0.0001
    )
    assert found.partitions == 4 * found.processes
    assert found.written_mb_per_s == pytest.approx(3 * 0.1 * (400 + 1000 * fewer))
    assert found.broker_cores == pytest.approx(3 * 0.1 * (5 + 40 * fewer))
    assert (found.brokers, found.brokers_by) == (3, "copies")
    assert found.store_gb == pytest.approx(18.0)
    kept = 270 * 7 * DAY_S + 110 * (3600 + DAY_S) + (20 + 1000 * fewer) * DAY_S
    assert found.topics_gb == pytest.approx(3 * 1e5 * kept / 1e9)
    assert found.restore_s == pytest.approx(3 + 180e6 / found.processes / 2e5)
    assert found.hottest_cores == pytest.approx(0.05)


def test_plan_never_takes_less_than_a_worker_with_little_to_do() -> None:
    """Small micro-batches cost what the worker and broker were seen to take."""
    found = plan(KNOWN, Need(rate=10, routes=100))
    assert found.worker_cores == pytest.approx(0.5 + 0.01)
    assert found.broker_cores == pytest.approx(3 * 0.4)
    assert found.limited_by.startswith("nothing")


def test_plan_says_what_gives_out_first() -> None:
    """A route's partition, then the worker's cores, or the brokers where they are small."""
    hot = plan(KNOWN, Need(rate=1_000_000, hottest=0.5))
    assert hot.limited_by == "partition: the busiest route may have 12.0%"
    large = Need(rate=1_000_000, hottest=0.01, broker_mb_per_s=1000.0)
    assert plan(KNOWN, large).limited_by == "core"
    small = Need(rate=1_000_000, hottest=0.01, broker_mb_per_s=2.0)
    assert plan(KNOWN, small).limited_by == "broker"
    assert plan(KNOWN, small).brokers_by == "writes"


def test_plan_grows_with_everything() -> None:
    """No size makes a deployment cheaper."""
    base = plan(KNOWN, Need(rate=1_000_000))
    for more in (
        Need(rate=2_000_000),
        Need(rate=1_000_000, value_kb=10.0),
        Need(rate=1_000_000, arms=1000),
        Need(rate=1_000_000, window_s=7 * DAY_S),
        Need(rate=1_000_000, routes=10_000),
    ):
        found = plan(KNOWN, more)
        assert found.worker_cores > base.worker_cores
        assert found.topics_gb > base.topics_gb


def test_limits_are_those_of_a_core_a_route_and_a_broker() -> None:
    """What one part bears at full use."""
    found = limits(KNOWN, Need(rate=0))
    assert found.core == pytest.approx(50_000)
    assert found.route == pytest.approx(200_000)
    assert found.broker_writes == pytest.approx(250_000)
    assert found.broker_cores == pytest.approx(1_600_000)


def test_event_costs_grow_by_their_slopes() -> None:
    """Straight lines through the base."""
    assert event_us(KNOWN, Need(rate=0, value_kb=1.15, arms=14)) == pytest.approx(20 + 4 + 1)
    assert event_us(KNOWN, Need(rate=0), 400_000) == pytest.approx(22)
    assert event_bytes(KNOWN, Need(rate=0, value_kb=1.15)) == pytest.approx(400 + 500)


def test_many_routes_cost_what_a_micro_batch_touches() -> None:
    """At most one route for each label, and next to nothing where a micro-batch holds them all."""
    dear, few = (event_us(KNOWN, Need(rate=0, routes=n)) for n in (10_000_000, 1))
    assert dear == pytest.approx(20 + 400 * 0.5, rel=0.01)
    assert few == pytest.approx(20, rel=0.05)
    shared = event_us(KNOWN, Need(rate=0, routes=10_000), workers=100)
    assert shared == pytest.approx(event_us(KNOWN, Need(rate=0, routes=100)))


def test_touches_are_fitted_to_the_routes_axis() -> None:
    """Points made by the formula give its figures back."""
    made = {
        ("routes", at): [20 + 800 * (touched(at, 3000) - touched(10, 3000))]
        for at in (1, 10, 100, 1000, 10_000)
    }
    found = growth(made)
    labels = batch_labels(found, lambda p: p.worker_us)
    assert labels == pytest.approx(3000, rel=0.1)
    assert per_touch(found, lambda p: p.worker_us, labels) == pytest.approx(800, rel=0.1)
    assert per_touch(growth({("routes", 10): [20]}), lambda p: p.worker_us, labels) == 0.0


def test_slope_is_that_of_the_line_through_the_base() -> None:
    """Medians of the runs, the base exact."""
    found = growth({("arms", 4): [20, 22, 60], ("arms", 14): [32, 32, 32], ("arms", 2): [20]})
    over = 10 * (32 - 22) + -2 * (20 - 22)
    assert slope(found, "arms", lambda p: p.worker_us) == pytest.approx(over / 104)
    assert slope(found, "value", lambda p: p.worker_us) == 0.0


def test_ratios_are_to_the_base_of_the_same_run() -> None:
    """A machine that was slower in one run changes nothing."""
    found = growth({("routes", 10): [20, 40], ("routes", 1): [10, 20]})
    assert found.ratios("routes", 1) == pytest.approx([2.0, 2.0])


def test_table_tells_of_a_deployment_that_failed() -> None:
    """It has a row of its own."""
    found = growth({("arms", 4): [20]})
    found.measured.append(Measured(axis="arms", at=1000, run=0, error="gone"))
    rows = list(table(found))
    assert any(row.startswith("| 1,000 | failed") for row in rows)
    assert len({row.count("|") for row in rows if row}) == 1


def test_made_pairs_fill_every_arm_of_every_route_with_values_of_the_size() -> None:
    """What a deployment of that shape gets."""
    shape = Shape(arms=3, routes=5, value=700)
    made = list(made_pairs(shape, 1 << 39, (1 << 39) + 15))
    decode = decoder(Prediction)
    seen = {(one.route, one.arm) for one in (decode(value) for (_, value), _ in made)}
    assert len(seen) == 15
    assert {len(value) for (_, value), _ in made} == {700}
    assert filled_up(b"{}", 1) == b"{}"


def test_half_fresh_pairs_leave_the_other_half_on_the_shape() -> None:
    """Fresh routes come beside those of the deployment, not instead."""
    made = made_pairs(Shape(), 0, 4000, half_fresh=True)
    decode = decoder(Prediction)
    routes = [decode(value).route for (_, value), _ in made]
    assert sum(route.startswith("fresh-") for route in routes) == 2000
    assert len({route for route in routes if route.startswith("fresh-")}) == 40


def test_staggered_labels_follow_their_predictions() -> None:
    """Each comes a fixed number of pairs later; the last ones do not come."""
    made = [((b"%d" % at, b"p"), (b"%d" % at, b"l")) for at in range(LAG + 5)]
    sent = list(staggered(("predictions", "labels"), made))
    labels = [keyed[0] for topic, keyed in sent if topic == "labels"]
    assert labels == [b"%d" % at for at in range(5)]


def test_axes_hold_the_base() -> None:
    """Ratios are to a point of the same axis."""
    for axis, sizes in AXES.items():
        assert getattr(BASE, axis) in sizes
    assert environment_of(Shape(partitions=1))["LEVERFRAME_TOPICS__ROUTE_PARTITIONS"] == "1"


def test_seconds_reads_spans() -> None:
    """As ``--window`` takes them."""
    assert sizing.seconds("90") == sizing.seconds("90s") == 90.0
    assert sizing.seconds("7d") == 7 * DAY_S


def test_page_is_what_the_module_makes() -> None:
    """The figures of docs/sizing.md belong to the measurements in the repository."""
    found = read_growth(sizing.GROWTH)
    known = fitted(found, json.loads(sizing.STARTING.read_text(encoding="utf-8")))
    page = (ROOT / sizing.PAGE).read_text(encoding="utf-8")
    assert sizing.written(page, body(found, known)) == page
