"""Policies with full information: what they do with rows that several arms answered."""

from dataclasses import replace

import numpy as np
import pytest

from leverframe.policies.base import Policy
from leverframe.policies.hedge import Hedge
from leverframe.policies.paired_leader import PairedLeader
from leverframe.policies.statistics import ArmStats, PairStats
from leverframe.policies.thompson import Thompson
from leverframe.schemas.errors import PolicyError

both = pytest.mark.parametrize("policy", [Hedge(), PairedLeader()], ids=["hedge", "paired_leader"])


def arms_with(
    blocks: list[list[tuple[int, float]]], *, differ: float = 0.2, **fields: object
) -> ArmStats:
    """Blocks of (rows, mean lead over the champion) of each arm but the first; newest first."""
    k = len(blocks[0]) + 1
    rows, total = np.zeros((len(blocks), k, k)), np.zeros((len(blocks), k, k))
    for b, block in enumerate(blocks):
        for arm, (count, lead) in enumerate(block, start=1):
            rows[b, arm, 0] = rows[b, 0, arm] = count
            total[b, arm, 0], total[b, 0, arm] = count * lead, -count * lead
    pairs = PairStats(
        rows=rows, difference_sum=total, difference_square_sum=np.maximum(rows * differ, total)
    )
    return replace(ArmStats.of([500] * k, [400] * k), pairs=pairs, **fields)


@both
def test_a_lead_on_common_rows_decides(policy: Policy) -> None:
    """Means over all labels are equal; the rows that both answered are not."""
    assert policy.propensities(arms_with([[(32, 0.1)]] * 20), 0)[1] > 0.95
    assert policy.propensities(arms_with([[(32, -0.1)]] * 20), 0)[0] > 0.95


@both
def test_a_break_turns_the_weights_though_the_past_was_good(policy: Policy) -> None:
    """640 new rows outweigh 1,400 old ones that said the opposite as clearly."""
    turned = arms_with([[(32, -0.2)]] * 20 + [[(32, 0.2)]] * 44)
    assert policy.propensities(turned, 0)[0] > 0.9


@both
def test_without_enough_common_rows_thompson_decides(policy: Policy) -> None:
    """Sparse shadows are no ground to decide on: the labels are."""
    few = replace(arms_with([[(10, 1.0)]]), reward_sum=np.array([300.0, 310.0]))
    assert policy.propensities(few, 0).tolist() == Thompson().propensities(few, 0).tolist()


@both
def test_scores_on_held_out_rows_are_first_pairs_up_to_their_count(policy: Policy) -> None:
    """A score decides before any pair does; one on a handful of rows does not."""
    scored = replace(
        arms_with([[(0, 0.0)]]),
        validation_score=np.array([0.5, 0.9]),
        validation_count=np.array([200.0, 200.0]),
    )
    assert policy.propensities(scored, 0)[1] > 0.9
    few = replace(scored, validation_count=np.array([200.0, 5.0]))
    assert policy.propensities(few, 0).tolist() == Thompson().propensities(few, 0).tolist()


def test_hedge_keeps_a_share_for_those_who_are_behind() -> None:
    """So that an arm that was bad for long serves, and comes back when it leads."""
    weights = Hedge(share=0.03).propensities(arms_with([[(32, 0.3), (32, -0.3)]] * 20), 0)
    assert weights.min() == pytest.approx(0.01)


def test_hedge_spreads_where_arms_are_close() -> None:
    """A lead of one standard error is no certainty."""
    weights = Hedge().propensities(arms_with([[(32, 0.018)]] * 20), 0)
    assert 0.6 < weights[1] < 0.97


def test_hedge_takes_a_newcomer_at_its_mean() -> None:
    """It leads by more on its few rows than the old best one on its many: no handicap of age."""
    young = [[(32, 0.1), (32, 0.2)]] * 4 + [[(32, 0.1), (0, 0.0)]] * 40
    weights = Hedge().propensities(arms_with(young), 0)
    assert weights[2] > weights[1]


@pytest.mark.parametrize(
    "wrong",
    [{"eta": 0.0}, {"half_life": -1.0}, {"share": 1.0}, {"min_rows": 0.0}, {"held_out_rows": -1.0},
     {"eta": float("nan")}, {"share": float("nan")}],
)  # fmt: skip
def test_hedge_refuses_parameters_outside_their_range(wrong: dict[str, float]) -> None:
    """The error names the parameter."""
    with pytest.raises(PolicyError, match=next(iter(wrong))):
        Hedge(**wrong)
