"""Shaping, one step at a time, and the steps together."""

import numpy as np
import pytest
from numpy.typing import NDArray

from leverframe.policies.shaping import pinned, shape
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError


def shaped(  # what a route without any limits would have, unless told
    weights: list[float],
    *,
    eligible: list[bool] | None = None,
    champion: int = 0,
    nursery: list[bool] | None = None,
    nursery_share: float = 0.0,
    floor: float = 0.0,
    previous: list[float] | None = None,
    max_step: float = 1.0,
) -> NDArray[np.float64]:
    k = len(weights)
    return shape(
        np.array(weights),
        arms=ArmStats.of([10] * k, [5] * k, eligible=eligible, champion=champion),
        nursery=np.array([False] * k if nursery is None else nursery),
        nursery_share=nursery_share,
        floor=floor,
        previous=None if previous is None else np.array(previous),
        max_step=max_step,
    )


def test_shape_without_limits_changes_nothing() -> None:
    """What the policy wants is published as it is."""
    result = shaped([0.25, 0.75], previous=[0.75, 0.25])
    assert result.tolist() == [0.25, 0.75]


def test_shape_takes_weight_off_ineligible_arms() -> None:
    """The others get it in proportion."""
    result = shaped([0.5, 0.1, 0.4], eligible=[False, True, True])
    assert result == pytest.approx([0.0, 0.2, 0.8], abs=1e-15)


def test_shape_falls_back_on_the_champion() -> None:
    """A policy that wants ineligible arms only gets the champion, or an equal split without one."""
    result = shaped([1.0, 0.0, 0.0], eligible=[False, True, True], champion=2)
    assert result.tolist() == [0.0, 0.0, 1.0]
    split = shaped([1.0, 0.0, 0.0], eligible=[False, True, True], champion=0)
    assert split.tolist() == [0.0, 0.5, 0.5]
    assert shaped([1.0, 0, 0], eligible=[False, True, True], champion=-1)[1] == 0.5


def test_shape_lifts_the_nursery() -> None:
    """An arm in the nursery gets its share, the others pay in proportion."""
    result = shaped([0.6, 0.4, 0.0], nursery=[False, False, True], nursery_share=0.1)
    assert result == pytest.approx([0.54, 0.36, 0.1], abs=1e-15)


def test_shape_gives_a_nursery_arm_no_more_than_its_share() -> None:
    """Nothing is known of a new arm: what a policy hopes of it does not count yet."""
    result = shaped([0.5, 0.5, 0.0], nursery=[False, True, False], nursery_share=0.1)
    assert result == pytest.approx([0.9, 0.1, 0.0], abs=1e-15)
    alone = shaped([0.0, 1.0], nursery=[False, True], nursery_share=0.1, champion=0)
    assert alone == pytest.approx([0.9, 0.1], abs=1e-15)


def test_shape_keeps_most_traffic_on_grown_arms() -> None:
    """All nurseries together have at most 0.3, so many new arms cannot starve the champion."""
    result = shaped([1.0, 0, 0, 0], nursery=[False, True, True, True], nursery_share=0.4)
    assert result == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=1e-15)
    assert shaped([0.2, 0.8], nursery=[True, True], nursery_share=0.1).tolist() == [0.5, 0.5]


def test_shape_leaves_most_traffic_to_the_policy() -> None:
    """All floors together take at most 0.1: with 50 arms the best one still gets 0.9."""
    result = shaped([1.0] + [0.0] * 49, floor=0.02)
    assert result[0] == pytest.approx(0.9 + 0.1 / 50)
    assert result[1:] == pytest.approx([0.002] * 49)


def test_shape_ignores_a_quarantined_nursery_arm() -> None:
    """Eligibility comes first."""
    result = shaped([1.0, 0.0], eligible=[True, False], nursery=[False, True], nursery_share=0.2)
    assert result.tolist() == [1.0, 0.0]


def test_shape_adds_the_floor() -> None:
    """Every eligible arm gets the floor, what is left is divided as before."""
    result = shaped([1.0, 0.0, 0.0], eligible=[True, True, False], floor=0.05)
    assert result == pytest.approx([0.95, 0.05, 0.0], abs=1e-15)
    assert shaped([1.0, 0.0], floor=0.9) == pytest.approx([0.95, 0.05])


def test_shape_limits_the_step() -> None:
    """All weights go the same part of the way, so that the sum holds."""
    result = shaped([0.0, 0.4, 0.6], previous=[1.0, 0.0, 0.0], max_step=0.25)
    assert result == pytest.approx([0.75, 0.1, 0.15], abs=1e-15)


def test_shape_reaches_its_target_in_few_updates() -> None:
    """A distance of 1 takes 1 / max_step updates, and the last one arrives exactly."""
    weights = [1.0, 0.0]
    for _ in range(4):
        weights = shaped([0.0, 1.0], previous=weights, max_step=0.25).tolist()
    assert weights == [0.0, 1.0]


def test_shape_takes_traffic_off_an_ineligible_arm_at_once() -> None:
    """The step limit protects users from a ramp, not a bad arm from its end."""
    result = shaped(
        [0.0, 0.0, 1.0], eligible=[False, True, True], previous=[0.6, 0.3, 0.1], max_step=0.1
    )
    assert result == pytest.approx([0.0, 0.65, 0.35], abs=1e-15)


def test_shape_starts_anew_when_nothing_in_force_is_eligible() -> None:
    """When all traffic was on the arm that went, the target applies at once."""
    result = shaped([0.0, 1.0], eligible=[False, True], previous=[1.0, 0.0], max_step=0.1)
    assert result.tolist() == [0.0, 1.0]


def test_shape_takes_all_steps_in_order() -> None:
    """Eligibility, nursery, floor, and then half of the way there."""
    result = shaped(
        [0.7, 0.3, 0.0, 0.0],
        eligible=[False, True, True, True],
        nursery=[False, False, True, False],
        nursery_share=0.2,
        floor=0.02,
        previous=[0.0, 0.0, 0.0, 1.0],
        max_step=0.49,
    )
    assert result == pytest.approx([0.0, 0.39, 0.1, 0.51], abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.array([0.5, 0.25, 0.25])}, "weights must have shape"),
        ({"weights": np.array([1.5, -0.5])}, "weights must be finite and not negative"),
        ({"weights": np.array([np.nan, 0.5])}, "weights must be finite and not negative"),
        ({"weights": np.array([np.inf, 0.5])}, "weights must be finite and not negative"),
        ({"nursery_share": -0.1}, "nursery_share must lie in"),
        ({"floor": 1.1}, "floor must lie in"),
        ({"max_step": 0.0}, "max_step must lie in"),
        ({"arms": ArmStats.of([1, 1], [1, 1], eligible=[False, False])}, "none of the 2 arms"),
    ],
)
def test_shape_refuses_what_makes_no_weights(change: dict[str, object], message: str) -> None:
    """A broken third-party policy stops here, not in front of users."""
    arguments: dict[str, object] = {
        "weights": np.array([0.5, 0.5]),
        "arms": ArmStats.of([1, 1], [1, 1]),
        "nursery": np.zeros(2, dtype=bool),
        "nursery_share": 0.0,
        "floor": 0.0,
        "previous": None,
        "max_step": 1.0,
    }
    with pytest.raises(PolicyError, match=message):
        shape(**(arguments | change))  # type: ignore[arg-type]


def test_pinned_gives_one_arm_everything() -> None:
    """And refuses an arm that is not there."""
    assert pinned(3, 2).tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(PolicyError, match=r"index must lie in 0\.\.2, got 3"):
        pinned(3, 3)
