"""``[routes.NAME.metrics.METRIC]``: what is written, what it means, what is refused and where."""

from pathlib import Path

import pytest

from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import SettingsError
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import compile_routes

GOOD = """
[routes.r.metrics.latency_ms]
role = "guardrail"
range = [0, 2000]
margin = 20
[routes.r.metrics.slow]
role = "guardrail"
range = [0, 2000]
quantile = 0.99
at_most = 500
margin = 100
[routes.r.metrics.coverage]
role = "signal"
range = [0, 1]
worse = "lower"
at_least = 0.8
"""


def metrics_of(tmp_path: Path, text: str) -> dict[str, Metric]:
    path = tmp_path / "leverframe.toml"
    path.write_text(text, encoding="utf-8")
    route = compile_routes(load_settings(path, {}).routes).get("r")
    assert route is not None
    return {one.name: one for one in route.metrics}


def test_metrics_are_mapped_so_that_one_is_the_worst(tmp_path: Path) -> None:
    """Values go to [0, 1], clipped at the range's ends; bounds and margins likewise."""
    metrics = metrics_of(tmp_path, GOOD)
    latency, slow, coverage = metrics["latency_ms"], metrics["slow"], metrics["coverage"]
    assert [latency.badness_nano(at) for at in (-5, 0, 500, 9e9)] == [0, 0, 250_000_000, 10**9]
    assert (latency.margin_nano, latency.bound_nano, latency.level) == (10_000_000, None, None)
    assert (slow.bound_nano, slow.level) == (300_000_000, pytest.approx(0.01))
    assert [coverage.badness_nano(at) for at in (1.0, 0.75)] == [0, 250_000_000]
    assert coverage.value_of(0.25) == 0.75
    assert coverage.level == pytest.approx(0.2)


def test_every_fault_of_a_metric_has_its_route_and_key(tmp_path: Path) -> None:
    """What is wrong, where, and what is right, all at once."""
    text = GOOD.replace("at_most = 500", "at_most = 1950").replace("at_least = 0.8", "at_most = 1")
    text += """
[routes.b.metrics.x]
role = "guard"
range = [0, 1]
[routes.c.metrics.x]
role = "signal"
range = [5, 5]
[routes.d.metrics.x]
role = "signal"
range = [0, 1]
margin = 2
"""
    with pytest.raises(SettingsError) as caught:
        metrics_of(tmp_path, text)
    lines = str(caught.value).splitlines()[1:]
    assert sorted(lines) == [
        "  routes.b.metrics.x.role: Invalid enum value 'guard'",
        "  routes.c.metrics.x.range: must be two numbers, the first one less, got 5 and 5",
        "  routes.d.metrics.x.margin: must be less than the width of the range, 1",
        '  routes.r.metrics.coverage.at_most: where worse = "lower" the bound is at_least',
        "  routes.r.metrics.slow.at_most: must lie within the range 0 to 2000, its margin too",
    ]


def test_a_route_has_few_metrics(tmp_path: Path) -> None:
    """No more than a prediction can tell."""
    table = '[routes.r.metrics.m{}]\nrole = "signal"\nrange = [0, 1]\n'
    with pytest.raises(SettingsError, match=r"routes\.r\.metrics: at most 16 of a route, got 17"):
        metrics_of(tmp_path, "".join(table.format(at) for at in range(17)))


def test_a_budget_is_one_mean_with_a_bound(tmp_path: Path) -> None:
    """What a budget cannot have is refused, key by key."""
    text = '[routes.r.metrics.{}]\nrole = "budget"\nrange = [0, 1]\nquantile = 0.5\nmargin = 0.1\n'
    with pytest.raises(SettingsError) as caught:
        metrics_of(tmp_path, text.format("x") + text.format("y"))
    lines = str(caught.value)
    assert "routes.r.metrics: one budget of a route, got x, y" in lines
    assert "routes.r.metrics.x.at_most: missing" in lines
    assert "routes.r.metrics.x.quantile: a budget is a mean" in lines
    assert "routes.r.metrics.y.margin: is for guardrails and signals" in lines
