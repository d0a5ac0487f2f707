"""Controls that know the future are never beaten by those that know less of it."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leverframe.experiments.metrics import control, measure
from leverframe.experiments.table import Table


@given(seed=st.integers(0, 2**32), arms=st.integers(1, 5), rows=st.integers(1, 12))
def test_controls_are_ordered(seed: int, arms: int, rows: int) -> None:
    """The oracle earns at least as much as the best fixed arm, and that as much as the first."""
    rng = np.random.default_rng(seed)
    n = rows * 100 + 100
    none = tuple(np.zeros(0, dtype=np.int64) for _ in range(arms))
    later = np.sort(rng.integers(1, rows + 1, arms - 1)) * 100
    table = Table(
        data="t",
        arms=tuple(str(arm) for arm in range(arms)),
        predictions=rng.integers(0, 2, (arms, n)),
        labels=rng.integers(0, 2, n),
        since=np.array([100, *later.tolist()]),
        held_out=none,
        held_out_predictions=none,
        drift_row=None,
    )
    rewards = table.rewards(np.array([[1.0, 0.0], [0.7, 1.0]]))
    names = ("oracle", "best_fixed", "static_first")
    found = [measure(table, control(name, table, rewards), rewards) for name in names]
    earned = [figures.reward for figures in found]
    # Sums of the same rewards in another order differ in their last bits.
    assert all(a >= b - 1e-12 for a, b in pairwise(earned))
    assert found[0].regret_oracle == 0
    assert found[1].regret_fixed == 0
    assert found[2].regret_oracle >= found[2].regret_fixed >= 0
