"""One run: a data set, a reward, a strategy and a seed; its result is a file that is kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from leverframe.experiments.datasets import load
from leverframe.experiments.metrics import Metrics, Series, control, measure, series
from leverframe.experiments.replay import STEP_MS, replay
from leverframe.experiments.rewards import named_reward, reward_matrix, unit_matrix
from leverframe.experiments.strategies import STRATEGIES, Strategy, route_settings
from leverframe.experiments.stream import Floats
from leverframe.experiments.table import BLOCK, DELAY, Table, build_table

__all__ = ["Job", "Plan", "Result", "missing", "read_results", "run_job", "run_strategy"]

REVISION: Final = 3
"""Raised when the simulation itself changes, so that older results are made anew."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is simulated, apart from the strategies.

    Attributes
    ----------
    chunks : int
        Equal parts of each stream; one model is trained on each.
    rows : int or None
        Each stream is thinned to about so many rows; None takes all.
    """

    chunks: int = 10
    rows: int | None = None


class Job(Struct, frozen=True, kw_only=True):
    """All runs that share their models: one data set and one seed.

    Attributes
    ----------
    plan : Plan
        What is simulated.
    data : str
        Data set.
    seed : int
        Of sample, models and draws.
    runs : tuple of (str, str)
        Reward and strategy of each run.
    """

    plan: Plan
    data: str
    seed: int
    runs: tuple[tuple[str, str], ...]


class Result(Struct, frozen=True, kw_only=True):
    """One run's file.

    Attributes
    ----------
    key : str
        Digest of every parameter; a result whose key differs is made anew.
    data, reward, strategy : str
        What was run.
    seed : int
        With which seed.
    plan : Plan
        Of the simulation.
    arms : list of str
        In the order of deployment.
    digest : str
        Of the route's state in the end.
    metrics : Metrics
        Its figures.
    series : Series
        The run over time.
    """

    key: str
    data: str
    reward: str
    strategy: str
    seed: int
    plan: Plan
    arms: list[str]
    digest: str
    metrics: Metrics
    series: Series


def _path(folder: Path, data: str, reward: str, strategy: str, seed: int) -> Path:
    return folder / f"{data}-{reward}-{strategy}-{seed:03d}.json"


def _key(plan: Plan, data: str, reward: str, strategy: str, seed: int) -> str:
    fixed = (REVISION, BLOCK, DELAY, STEP_MS)
    body = (fixed, plan, data, reward, STRATEGIES[strategy], seed)
    return hashlib.blake2b(msgspec.msgpack.encode(body), digest_size=8).hexdigest()


def _is_done(folder: Path, job: Job, reward: str, strategy: str) -> bool:
    path = _path(folder, job.data, reward, strategy, job.seed)
    try:
        key = msgspec.json.decode(path.read_bytes(), type=Result).key
    except (OSError, msgspec.DecodeError):
        return False
    return key == _key(job.plan, job.data, reward, strategy, job.seed)


def missing(job: Job, folder: Path) -> Job:
    """Return the job without the runs whose results are there already."""
    left = tuple(run for run in job.runs if not _is_done(folder, job, *run))
    return msgspec.structs.replace(job, runs=left)


def run_job(job: Job, folder: Path, data_folder: Path | None) -> int:
    """Train the models of a job, and write a result for each of its runs."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no types

    with threadpool_limits(1):  # the processes share the cores already
        stream = load(job.data, job.seed, data_folder, job.plan.rows)
        table = build_table(stream, chunks=job.plan.chunks, seed=job.seed)
        for reward, strategy in job.runs:
            result = run_strategy(table, reward, STRATEGIES[strategy], job)
            path = _path(folder, job.data, reward, strategy, job.seed)
            part = path.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(result))
            part.replace(path)
    return len(job.runs)


def run_strategy(table: Table, reward: str, strategy: Strategy, job: Job) -> Result:
    """Let one strategy serve a table."""
    named = named_reward(reward, table.labels[: table.first])
    unit: Floats = unit_matrix(named)
    rewards = table.rewards(unit)
    if strategy.policy:
        outcome = replay(
            table,
            route_settings(strategy, named),
            reward_matrix(named),
            table.beforehand(unit, is_warm=strategy.is_warm),
            seed=job.seed,
            promotes=strategy.is_promoted,
            shadow_share=strategy.shadow_share,
        )
    else:
        outcome = control(strategy.name, table, rewards)
    return Result(
        key=_key(job.plan, job.data, reward, strategy.name, job.seed),
        data=job.data,
        reward=reward,
        strategy=strategy.name,
        seed=job.seed,
        plan=job.plan,
        arms=list(table.arms),
        digest=outcome.digest,
        metrics=measure(table, outcome, rewards),
        series=series(table, outcome, rewards),
    )


def read_results(folder: Path) -> Sequence[Result]:
    """Return all results of a folder that today's code would make."""
    decode = msgspec.json.Decoder(Result).decode
    results = [decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return [
        result
        for result in results
        if result.strategy in STRATEGIES
        and result.key
        == _key(result.plan, result.data, result.reward, result.strategy, result.seed)
    ]
