"""Whatever a policy wants and whatever the limits are, what is published is safe."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from leverframe.policies.shaping import shape
from leverframe.policies.statistics import ArmStats

often = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def distribution(draw: st.DrawFn, k: int) -> NDArray[np.float64]:
    """K weights that sum to 1, many of them 0 or tiny."""
    part = st.sampled_from([0.0, 0.0, 1.0, 1e-9, 1e-300]) | st.floats(0, 1)
    parts = np.array(draw(st.lists(part, min_size=k, max_size=k).filter(lambda p: sum(p) > 1e-12)))
    weights: NDArray[np.float64] = parts / parts.sum()
    return weights


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of ``shape`` for one to seven arms."""
    k = draw(st.integers(1, 7))
    flags = st.lists(st.booleans(), min_size=k, max_size=k)
    share = st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]) | st.floats(0, 1)
    eligible = draw(flags.filter(any))
    return {
        "weights": distribution(draw, k),
        "arms": ArmStats.of(
            [1] * k, [1] * k, eligible=eligible, champion=draw(st.integers(-1, k - 1))
        ),
        "nursery": np.array(draw(flags)),
        "nursery_share": draw(share),
        "floor": draw(share),
        "previous": distribution(draw, k) if draw(st.booleans()) else None,
        "max_step": draw(st.sampled_from([0.05, 0.2, 1.0]) | st.floats(1e-3, 1)),
    }


@often
@given(call=calls())
def test_shape_gives_weights(call: dict[str, Any]) -> None:
    """Not negative, together 1 within 1e-12, exactly 0 where not eligible, the same each time."""
    weights = shape(**call)
    assert (weights >= 0).all()
    assert abs(weights.sum() - 1) <= 1e-12
    assert (weights[~call["arms"].eligible] == 0).all()
    assert shape(**call).tobytes() == weights.tobytes()


@often
@given(call=calls())
def test_shape_keeps_floor_and_nursery_when_nothing_limits_the_step(
    call: dict[str, Any],
) -> None:
    """Each grown arm has the floor, each in the nursery its share, unless all are there."""
    weights = shape(**(call | {"previous": None}))
    eligible = call["arms"].eligible
    young = eligible & call["nursery"]
    k, n_young = int(eligible.sum()), int(young.sum())
    if n_young == k:
        assert weights[young] == pytest.approx(np.full(k, 1 / k))
        return
    grown = eligible & ~young
    assert (weights[grown] >= min(call["floor"], 0.1 / k) - 1e-12).all()
    if n_young:
        share = min(call["nursery_share"], 0.3 / n_young, 1 / k)
        assert weights[young] == pytest.approx(np.full(n_young, share), abs=1e-12)


@often
@given(call=calls())
def test_shape_moves_no_weight_further_than_allowed(call: dict[str, Any]) -> None:
    """Measured from the weights in force, after what ineligible arms had has gone to the others."""
    previous, eligible = call["previous"], call["arms"].eligible
    if previous is None or not previous[eligible].sum() > 0:
        return
    start = np.where(eligible, previous, 0.0)
    start = start / start.sum()
    step = np.abs(shape(**call) - start).max()
    assert step <= call["max_step"] + 1e-12


@often
@given(call=calls())
def test_shape_is_settled_once_it_arrived(call: dict[str, Any]) -> None:
    """Repeated with its own result as previous it reaches a fixed point, without a step limit."""
    for _ in range(2000):
        before = call["previous"]
        call = call | {"previous": shape(**call)}
        if before is not None and np.abs(call["previous"] - before).max() < 1e-15:
            break
    assert shape(**call).tobytes() == call["previous"].tobytes()
