"""Policies of people: newest, validation, A/B test."""

import math

import pytest
from scipy.stats import norm

from leverframe.policies.ab_test import AbTest, welch_p_value
from leverframe.policies.newest import Newest
from leverframe.policies.statistics import ArmStats
from leverframe.policies.validation import Validation

NAN = math.nan


@pytest.mark.parametrize(
    ("registered", "eligible", "expected"),
    [
        ([1, 2, 3], [True, True, True], 2),
        ([3, 2, 1], [True, True, True], 0),
        ([3, 2, 1], [False, True, True], 1),
        ([7, 7, 7], [True, True, True], 2),
        ([7, 7, 7], [True, True, False], 1),
    ],
)
def test_newest_takes_the_eligible_arm_registered_last(
    registered: list[int], eligible: list[bool], expected: int
) -> None:
    """By time of registration, then by order."""
    arms = ArmStats.of([5] * 3, [1] * 3, registered_at_ms=registered, eligible=eligible)
    weights = Newest().propensities(arms, 0).tolist()
    assert weights.index(1.0) == expected
    assert sum(weights) == 1.0


@pytest.mark.parametrize(
    ("champion", "scores", "margin", "expected"),
    [
        (0, [0.8, 0.9, 0.81], 0.0, 2),
        (0, [0.8, 0.9, 0.81], 0.02, 0),
        (0, [0.8, 0.9, 0.80], 0.0, 0),
        (0, [0.8, 0.9, NAN], 0.0, 0),
        (0, [NAN, 0.9, 0.95], 0.0, 0),
        (2, [0.8, 0.9, 0.1], 0.0, 2),
        (-1, [0.8, 0.9, NAN], 0.0, 2),
    ],
)
def test_validation_keeps_the_champion_unless_the_newest_scores_better(
    champion: int, scores: list[float], margin: float, expected: int
) -> None:
    """A better score of an older arm, a tie and a missing score change nothing."""
    arms = ArmStats.of([0] * 3, [0] * 3, champion=champion, validation_score=scores)
    assert Validation(margin=margin).propensities(arms, 0).tolist().index(1.0) == expected


def test_validation_leaves_a_quarantined_champion() -> None:
    """Where the champion may not answer, the newest arm does, whatever its score."""
    arms = ArmStats.of([0, 0], [0, 0], eligible=[False, True], validation_score=[0.9, 0.1])
    assert Validation().propensities(arms, 0).tolist() == [0.0, 1.0]


def test_ab_test_splits_equally_until_every_arm_has_its_labels() -> None:
    """Also while one arm looks far better: that is what the experiment's size is for."""
    arms = ArmStats.of([999, 5000, 5000], [10, 4900, 100])
    assert AbTest().propensities(arms, 0).tolist() == pytest.approx([1 / 3] * 3)
    arms = ArmStats.of([999, 5000], [10, 4900], eligible=[False, True])
    assert AbTest().propensities(arms, 0).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("sums", "champion", "expected"),
    [
        ([500, 530, 540], 0, [1.0, 0.0, 0.0]),  # p = 0.073
        ([500, 530, 546], 0, [1.0, 0.0, 0.0]),  # p = 0.039 does not meet 0.05 / 2
        ([500, 530, 560], 0, [0.0, 0.0, 1.0]),
        ([500, 530, 400], 0, [1.0, 0.0, 0.0]),
        ([600, 500, 400], 0, [1.0, 0.0, 0.0]),
        ([500, 570, 570], 0, [0.0, 0.5, 0.5]),
        ([500, 501, 500], -1, [0.0, 1.0, 0.0]),
    ],
)
def test_ab_test_gives_everything_to_a_significant_winner(
    sums: list[float], champion: int, expected: list[float]
) -> None:
    """Else to the champion; challengers share the significance; without champion the best wins."""
    arms = ArmStats.of([1000] * 3, sums, champion=champion)
    assert AbTest().propensities(arms, 0).tolist() == expected


def test_welch_p_value_is_the_textbook_formula() -> None:
    """Two-sided normal tail of the difference over the root of the summed squared errors."""
    arms = ArmStats.of([1000, 400], [300, 150], reward_square_sum=[200, 90])
    variances = [0.2 - 0.09, 0.225 - 0.375**2]
    z = (0.375 - 0.3) / math.sqrt(variances[0] / 999 + variances[1] / 399)
    assert welch_p_value(arms, 0, 1) == pytest.approx(float(2 * norm.sf(z)), rel=1e-9)
    assert welch_p_value(arms, 0, 1) == welch_p_value(arms, 1, 0)


def test_welch_p_value_without_any_variance() -> None:
    """Rewards that never vary: different means differ surely, equal ones not at all."""
    arms = ArmStats.of([10, 10, 10], [0, 10, 10])
    assert welch_p_value(arms, 0, 1) == 0.0
    assert welch_p_value(arms, 1, 2) == 1.0
