"""The bench of guardrails tells a bad arm from a good one, and the figures of its tables."""

from dataclasses import replace

import pytest

from bench.guard.metrics import CASES, EQUAL, Answers, Case, World, interval, run
from leverframe.streams.routes.metrics import MetricSettings


def test_bench_rolls_back_the_bad_arm_alone() -> None:
    """One seeded route of the first and third row each, and a good one in outages."""
    for case in (CASES[0], CASES[2]):
        found = run(case, 0)
        assert found is not None
        assert found[0] == "b"
        assert 0 < found[1] < 400
    assert run(replace(EQUAL[1], requests=2000), 0) is None


@pytest.mark.drill
@pytest.mark.parametrize("world", ["steady", "outages", "rising"])
@pytest.mark.parametrize("metric", ["error", "p99_ms", "latency_ms"])
def test_equal_arms_are_rolled_back_no_more_often_than_promised(world: World, metric: str) -> None:
    """With alpha 0.3, of which two arms have 0.2: 100 seeded routes, frequent errors, no margin.

    A test that just kept its promise would fail here with chance 0.002: for 33 rollbacks or more.
    """
    settings = {
        "error": MetricSettings(role="guardrail", range=(0, 1)),
        "p99_ms": MetricSettings(role="guardrail", range=(0, 2000), quantile=0.9),
        "latency_ms": MetricSettings(role="guardrail", range=(0, 2000)),
    }
    errs = Answers(error=0.05)
    case = Case(
        "equal",
        {metric: settings[metric]},
        errs,
        share=0.2,
        world=world,
        requests=8000,
        alpha=0.3,
        champion=errs,
    )
    assert sum(run(case, seed) is not None for seed in range(100)) < 33


def test_shares_and_worlds_are_what_the_page_says() -> None:
    """Outages take one request in twenty; a growing share ends at half."""
    grows = EQUAL[3]
    assert grows.share_at(0) == 0
    assert grows.share_at(grows.before + grows.requests) == pytest.approx(0.5)
    bad = [one for at in range(0, 10_000, 20) for one in EQUAL[1].badness_at(at)]
    assert sum(bad) / len(bad) == pytest.approx(0.05)


def test_interval_is_that_of_clopper_and_pearson() -> None:
    low, high = interval(0, 100)
    assert (low, round(high, 4)) == (0.0, 0.0362)
    assert [round(one, 4) for one in interval(5, 100)] == [0.0164, 0.1128]
