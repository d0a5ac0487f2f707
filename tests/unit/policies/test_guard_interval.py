"""The confidence sequence: it holds at all times at once, and shrinks."""

import numpy as np
import pytest

from leverframe.policies.guard.interval import confidence_interval


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
