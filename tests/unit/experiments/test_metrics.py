"""The figures of a run, against hand-made cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from leverframe.experiments.metrics import BINS, control, measure, recovery_rows, series
from leverframe.experiments.replay import Outcome
from leverframe.experiments.stream import Floats
from leverframe.experiments.table import BLOCK, Table


def table_of(
    predictions: list[list[int]], labels: list[int], since: list[int], **drift: int
) -> Table:
    none = tuple(np.zeros(0, dtype=np.int64) for _ in since)
    return Table(
        data="t",
        arms=tuple("abc"[: len(since)]),
        predictions=np.array(predictions),
        labels=np.array(labels),
        since=np.array(since),
        held_out=none,
        held_out_predictions=none,
        drift_row=drift.get("drift_row"),
    )


def right(table: Table) -> Floats:
    return table.rewards(np.eye(2))


def test_measure_agrees_with_scikit_learn() -> None:
    """Accuracy, F1 and balanced accuracy are scikit-learn's on the rows served."""
    rng = np.random.default_rng(1)
    labels = (rng.random(1000) < 0.2).astype(int)
    table = table_of(rng.integers(0, 2, (3, 1000)).tolist(), labels.tolist(), [100, 100, 100])
    chosen = rng.integers(0, 3, 900)
    found = measure(table, Outcome(chosen=chosen, weights=np.eye(3)[chosen[::BLOCK]]), right(table))
    said = table.predictions[chosen, np.arange(100, 1000)]
    assert found.accuracy == pytest.approx(accuracy_score(labels[100:], said))
    assert found.f1 == pytest.approx(f1_score(labels[100:], said))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels[100:], said))
    assert found.reward == pytest.approx(found.accuracy)


def test_controls_choose_as_they_say() -> None:
    """Oracle per segment, best fixed from its deployment on, static always the first."""
    ones = [1] * 1000
    first = [1] * 700 + [0] * 300
    second = [0] * 600 + [1] * 400
    table = table_of([first, second], ones, [0, 500])
    oracle, fixed, static = (
        control(name, table, right(table)) for name in ("oracle", "best_fixed", "static_first")
    )
    assert oracle.chosen.tolist() == [0] * 500 + [1] * 500
    assert fixed.chosen.tolist() == [0] * 500 + [1] * 500
    assert static.chosen.tolist() == [0] * 1000
    found = measure(table, static, right(table))
    assert (found.regret_fixed, found.regret_oracle, found.switches) == (200.0, 200.0, 0)
    assert measure(table, oracle, right(table)).switches == 1


def test_recovery_counts_rows_until_good_arms_lead_and_stay() -> None:
    """From the drift to the decision from which good arms keep most traffic; None if never."""
    table = table_of(
        [[1] * 2000 + [0] * 4000, [0] * 2000 + [1] * 4000], [1] * 6000, [0, 0], drift_row=2000
    )
    late = np.array([[1.0, 0.0]] * 35 + [[0.0, 1.0]] * 25)
    # From row 3000 on, the window of 1,000 rows is half before and half after the move at 3500.
    assert recovery_rows(table, late, right(table)) == 1100
    assert recovery_rows(table, np.array([[0.0, 1.0]] * 60), right(table)) == 0
    assert recovery_rows(table, np.array([[0.5, 0.5]] * 60), right(table)) is None
    flicker = late.copy()
    flicker[22:24] = [0.0, 1.0]
    assert recovery_rows(table, flicker, right(table)) == 1100
    no_drift = table_of([[1] * 2000], [1] * 2000, [0])
    assert recovery_rows(no_drift, np.ones((20, 1)), right(no_drift)) is None


def test_series_adds_up() -> None:
    """The parts' rewards average to the whole, shares sum to 1, regret ends at the total."""
    rng = np.random.default_rng(2)
    table = table_of(rng.integers(0, 2, (2, 1200)).tolist(), [1] * 1200, [0, 300])
    chosen = np.where(np.arange(1200) < 300, 0, rng.integers(0, 2, 1200))
    outcome = Outcome(chosen=chosen, weights=np.full((12, 2), 0.5))
    found, whole = series(table, outcome, right(table)), measure(table, outcome, right(table))
    assert np.mean(found.reward) == pytest.approx(whole.reward, abs=1e-5)
    assert found.regret[-1] == pytest.approx(whole.regret_oracle)
    assert np.array(found.shares).sum(axis=0) == pytest.approx(np.ones(BINS))
