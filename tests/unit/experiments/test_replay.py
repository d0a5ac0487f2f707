"""The simulation: through the product's own code, without a look into the future."""

from dataclasses import replace

import numpy as np
import pytest

from leverframe.experiments.replay import STEP_MS, Outcome, replay
from leverframe.experiments.rewards import named_reward, reward_matrix, unit_matrix
from leverframe.experiments.strategies import STRATEGIES, route_settings
from leverframe.experiments.stream import Floats
from leverframe.experiments.table import BLOCK, DELAY, Table
from leverframe.policies.registry import make_policy
from leverframe.policies.shaping import shape
from leverframe.policies.statistics import ArmStats, TimeBuckets
from leverframe.policies.units import MICRO
from leverframe.streams.routes.settings import NamedParams

POLICIES = [strategy for strategy in STRATEGIES.values() if strategy.policy]
BUCKET_MS, MAX_BUCKETS, START_MS = 20_000, 60, 1_000_000


def small_table(rows: int = 3000, seed: int = 3) -> Table:
    """Four arms that answer rightly with chances of their own, deployed one after the other."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.int64)
    right = rng.random((4, rows)) < np.array([[0.6], [0.75], [0.5], [0.8]])
    held_out = tuple(np.arange(at, at + 40) for at in (0, 500, 1000, 1500))
    predictions = np.where(right, labels, 1 - labels)
    return Table(
        data="small",
        arms=("a", "b", "c", "d"),
        predictions=predictions,
        labels=labels,
        since=np.array([500, 1000, 1600, 2200]),
        held_out=held_out,
        held_out_predictions=tuple(predictions[arm, at] for arm, at in enumerate(held_out)),
        drift_row=None,
    )


def run(table: Table, name: str, reward: str = "balanced", batch: int = BLOCK) -> Outcome:
    named = named_reward(reward, table.labels[: table.first])
    strategy = STRATEGIES[name]
    return replay(
        table,
        route_settings(strategy, named),
        reward_matrix(named),
        table.beforehand(unit_matrix(named), is_warm=strategy.is_warm),
        seed=5,
        promotes=strategy.is_promoted,
        shadow_share=strategy.shadow_share,
        batch=batch,
    )


@pytest.mark.parametrize("strategy", [strategy.name for strategy in POLICIES])
def test_replay_is_the_same_for_a_seed_and_any_cut(strategy: str) -> None:
    """The same seed gives the same rows, weights and state, however records are cut."""
    table = small_table()
    first, again, cut = run(table, strategy), run(table, strategy), run(table, strategy, batch=7)
    for other in (again, cut):
        assert first.digest == other.digest
        assert (first.chosen == other.chosen).all()
        assert (first.weights == other.weights).all()


def expected_weights(table: Table, outcome: Outcome, name: str, rewards: Floats) -> Floats:
    """The weights by plain arrays: statistics, policy and shaping, without ``learn``."""
    strategy, arms = STRATEGIES[name], len(table.arms)
    policy = make_policy(strategy.policy, strategy.params)
    nano = np.round(rewards * 1e9)
    in_force = np.zeros(arms)
    trajectory = []
    for block in range(0, table.served, BLOCK):
        row = table.first + block
        deployed = int((table.since <= row).sum())
        known = max(0, block - DELAY)
        now_ms = START_MS + (row - 1) * STEP_MS
        if (table.since == row).any():
            now_ms = START_MS + row * STEP_MS
        chosen, rows = outcome.chosen[:known], np.arange(known)
        told_ms = START_MS + (rows + table.first + DELAY) * STEP_MS
        chances = outcome.weights[rows // BLOCK, chosen]
        count, total, squares, inverse = (np.zeros(arms) for _ in range(4))
        np.add.at(count, chosen, 1.0)
        np.add.at(total, chosen, nano[chosen, rows])
        np.add.at(squares, chosen, np.round(rewards[chosen, rows] ** 2 * 1e9))
        np.add.at(inverse, chosen, np.round(rewards[chosen, rows] / chances * MICRO))
        index = told_ms // BUCKET_MS
        used = np.unique(index)
        cube = np.zeros((3, len(used), arms))
        at = np.searchsorted(used, index)
        unit = rewards[chosen, rows]
        values = np.ones(known), np.round(unit * 1e9), np.round(unit**2 * 1e9)
        for layer, value in zip(cube, values, strict=True):
            np.add.at(layer, (at, chosen), value)
        stats = ArmStats(
            count=count[:deployed],
            reward_sum=total[:deployed] / 1e9,
            reward_square_sum=squares[:deployed] / 1e9,
            inverse_propensity_sum=inverse[:deployed] / MICRO,
            eligible=np.ones(deployed, dtype=bool),
            champion=0,
            validation_score=np.full(deployed, np.nan),
            registered_at_ms=START_MS + table.since[:deployed] * STEP_MS,
            buckets=TimeBuckets(
                width_ms=BUCKET_MS,
                start_ms=used * BUCKET_MS,
                count=cube[0, :, :deployed],
                reward_sum=cube[1, :, :deployed] / 1e9,
                reward_square_sum=cube[2, :, :deployed] / 1e9,
            ),
        )
        wanted = policy.propensities(stats, now_ms)
        shaped = shape(
            wanted, arms=stats, nursery=np.zeros(deployed, dtype=bool), nursery_share=0.0,
            floor=0.0, previous=None, max_step=1.0,
        )  # fmt: skip
        in_force = np.zeros(arms)
        in_force[:deployed] = shaped
        trajectory.append(in_force)
    return np.array(trajectory)


@pytest.mark.parametrize(
    "name",
    ["thompson", "ucb", "kl_ucb", "discounted_thompson", "sliding_window_ucb", "exp3", "ab_test"],
)
def test_replay_gives_the_weights_of_plain_arrays(name: str) -> None:
    """``learn`` on records and policy plus shaping on arrays give the same weights throughout."""
    table = small_table()
    outcome = run(table, name)
    named = named_reward("balanced", table.labels[: table.first])
    expected = expected_weights(table, outcome, name, table.rewards(unit_matrix(named)))
    assert outcome.weights.shape == expected.shape
    assert np.abs(outcome.weights - expected).max() < 5e-9  # published weights have nine digits


@pytest.mark.parametrize("name", ["thompson", "exp3", "sliding_window_ucb"])
def test_replay_knows_no_label_before_its_delay(name: str) -> None:
    """Labels turned round from some row on change nothing before that row's label is due."""
    table, turn = small_table(), 1500
    labels = table.labels.copy()
    labels[turn:] = 1 - labels[turn:]
    first, turned = (
        run(table, name, "accuracy"),
        run(replace(table, labels=labels), name, "accuracy"),
    )
    until = (turn + DELAY - table.first) // BLOCK + 1
    assert (first.weights[:until] == turned.weights[:until]).all()
    assert (first.weights != turned.weights).any()


@pytest.mark.parametrize("strategy", [strategy.name for strategy in POLICIES])
def test_replay_asks_no_arm_before_its_deployment(strategy: str) -> None:
    """An arm answers nothing before the row from which it is there."""
    table = small_table()
    outcome = run(table, strategy)
    rows = np.arange(table.served) + table.first
    assert (rows >= table.since[outcome.chosen]).all()


def test_newest_and_validation_follow_their_rules() -> None:
    """``newest`` serves each arm as it comes; ``validation`` only those that beat the incumbent."""
    table = small_table()
    newest, validation = run(table, "newest"), run(table, "validation")
    deployed = (table.since[None, :] <= np.arange(500, 3000)[:, None]).sum(axis=1) - 1
    assert (newest.chosen == deployed).all()
    scores = table.validation_scores(unit_matrix(named_reward("balanced", table.labels[:500])))
    incumbent, expected = 0, []
    for arm in deployed.tolist():
        incumbent = arm if scores[arm] > scores[incumbent] else incumbent
        expected.append(incumbent)
    assert validation.chosen.tolist() == expected
    assert len(set(expected)) > 1


def test_unit_matrix_maps_the_products_reward() -> None:
    """Being right earns 1, the dearest mistake 0, the other what its price leaves."""
    named = named_reward("cost", np.array([0, 1]))
    assert named == NamedParams(
        name="cost_matrix", params={"costs": {"0": {"1": 1.0}, "1": {"0": 10.0}}}
    )
    assert unit_matrix(named).tolist() == [[1.0, 0.0], [0.9, 1.0]]
