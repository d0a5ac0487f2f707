"""The confidence sequences: they hold at all times at once, and shrink."""

import numpy as np
import pytest

from leverframe.policies.guard.interval import confidence_interval, difference_interval


@pytest.mark.parametrize("mean", [0.02, 0.5, 0.97])
def test_interval_holds_at_all_times(mean: float) -> None:
    """300 runs of 1,000 labels, a look at every tenth, alpha 0.1: at most 45 runs ever leave it.

    Were the error exactly alpha, 45 of 300 would come up once in 300 runs; the seed is fixed.
    """
    rng = np.random.default_rng(11)
    left = 0
    for run in rng.random((300, 1000)) < mean:
        sums = run.cumsum()
        ends = (confidence_interval(n, float(sums[n - 1]), 0.1) for n in range(10, 1001, 10))
        left += any(not low <= mean <= high for low, high in ends)
    assert left <= 45


def test_interval_shrinks_with_labels() -> None:
    """From everything to within a few thousandths."""
    assert confidence_interval(0, 0.0, 0.05) == (0.0, 1.0)
    widths = []
    for count in (10, 100, 1000, 10_000, 100_000):
        low, high = confidence_interval(count, 0.8 * count, 0.05)
        assert 0 <= low < 0.8 < high <= 1
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.011


@pytest.mark.parametrize(("total", "end"), [(0.0, 0), (50.0, 1), (-3.0, 0), (60.0, 1)])
def test_interval_at_the_ends_of_the_range(total: float, end: int) -> None:
    """All right, all wrong, or a sum that revisions took past the range."""
    assert confidence_interval(50, total, 0.05)[end] == end


@pytest.mark.parametrize(("apart", "mean"), [(0.02, 0.0), (0.3, 0.1), (1.0, -0.5)])
def test_interval_of_a_difference_holds_at_all_times(apart: float, mean: float) -> None:
    """300 runs of 1,000 pairs, a look at every tenth, alpha 0.1: at most 45 runs ever leave it.

    ``apart`` is the share of pairs that differ. Were the error exactly alpha, 45 of 300 would come
    up once in 300 runs; the seed is fixed.
    """
    rng = np.random.default_rng(12)
    sign = np.where(rng.random((300, 1000)) < (1 + mean / apart) / 2, 1.0, -1.0)
    left = 0
    for run in np.where(rng.random((300, 1000)) < apart, sign, 0.0):
        sums, squares = run.cumsum(), (run * run).cumsum()
        ends = (
            difference_interval(n, float(sums[n - 1]), float(squares[n - 1]), 0.1)
            for n in range(10, 1001, 10)
        )
        left += any(not low <= mean <= high for low, high in ends)
    assert left <= 45


def test_interval_of_a_difference_is_narrow_where_arms_agree() -> None:
    """The same rows and mean: few pairs that differ tell more than many; none tells nothing."""
    assert difference_interval(0, 0.0, 0.0, 0.01) == (-1.0, 1.0)
    widths = []
    for square in (0.0, 30.0, 300.0, 3_000.0):
        low, high = difference_interval(3_000, 30.0, square, 0.01)
        assert -1 < low < 0.01 < high < 1
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[0] < 0.007
    # Many looks cost: at one look of a z-test it would be 0.036.
    assert widths[2] < 0.054
    assert difference_interval(3_000, 30.0, -1e-9, 0.01) == difference_interval(
        3_000, 30.0, 0, 0.01
    )
