"""Runs all jobs on several processes, with progress, and skips what is done."""

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leverframe.experiments.rewards import REWARDS_OF
from leverframe.experiments.runs import Job, Plan, missing, run_job

__all__ = ["QUICK", "plan_jobs", "run_jobs"]

QUICK: Final = Plan(chunks=6, rows=6000)


def plan_jobs(plan: Plan, data: Iterable[str], strategies: Sequence[str], seeds: int) -> list[Job]:
    """Return all jobs of an experiment.

    Seed by seed, so that an interrupted experiment has all data sets.
    """
    names = list(data)
    return [
        Job(
            plan=plan,
            data=name,
            seed=seed,
            runs=tuple(
                (reward, strategy) for reward in REWARDS_OF[name] for strategy in strategies
            ),
        )
        for seed in range(seeds)
        for name in names
    ]


def run_jobs(
    jobs: Sequence[Job], folder: Path, data_folder: Path | None, workers: int, console: Console
) -> int:
    """Make every result that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {name: sum(len(job.runs) for job in jobs if job.data == name) for name in REWARDS_OF}
    left = [job for job in (missing(job, folder) for job in jobs) if job.runs]
    open_runs = {name: sum(len(job.runs) for job in left if job.data == name) for name in wanted}
    columns = TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {
            name: progress.add_task(name, total=total, completed=total - open_runs[name])
            for name, total in wanted.items()
            if total
        }
        for job in _completed(left, folder, data_folder, workers):
            progress.advance(bars[job.data], len(job.runs))
    return sum(open_runs.values())


def _completed(
    jobs: Sequence[Job], folder: Path, data_folder: Path | None, workers: int
) -> Iterable[Job]:
    if workers == 1:
        for job in jobs:
            run_job(job, folder, data_folder)
            yield job
        return
    context = multiprocessing.get_context("spawn")  # numpy's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(run_job, job, folder, data_folder): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
