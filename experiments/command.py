"""``leverframe experiment``."""

import importlib.util
import time
from pathlib import Path

import click

from leverframe.agents.cli.options import GuessingGroup, examples

__all__ = ["experiment"]

_output = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("experiments/report"),
    show_default=True,
    help="Folder of the report, runs/ in it of single results; --quick writes to quick/ in it.",
)


@click.group(cls=GuessingGroup)
def experiment() -> None:
    """Compare strategies on drifting data, as the paper does (arXiv 2503.22595)."""


@experiment.command(
    epilog=examples(
        "leverframe experiment run --quick",
        "leverframe experiment run --data elec2,synthetic --strategies thompson,ucb --seeds 5",
        "leverframe experiment run --live",
    )
)
@click.option("--quick", is_flag=True, help="3 seeds on thinned data, less than a minute.")
@click.option(
    "--data", default="all", show_default=True, help="census,claims,elec2,synthetic or all."
)
@click.option("--strategies", default="all", show_default=True, help="Names with commas, or all.")
@click.option(
    "--live",
    is_flag=True,
    help="Through Kafka, a worker and the control topic, each compared with its replay. About a "
    "minute: thinned as --quick, first reward of each data set, no controls, no report. Uses the "
    "broker in LEVERFRAME_BROKER, else starts one for the run.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), help="20, or 3 with --quick, or 1 with --live."
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--folder",
    envvar="LEVERFRAME_DATA",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where data sets lie [env LEVERFRAME_DATA; else ../shared/data beside the repository].",
)
@_output
def run(
    data: str,
    strategies: str,
    seeds: int | None,
    workers: int,
    folder: Path | None,
    output: Path,
    *,
    quick: bool,
    live: bool,
) -> None:
    """Run what is missing, then write the report. Stop and start at will: finished runs stay."""
    _require("sklearn", "matplotlib")
    given = None
    if live:
        # First of all: models and data take seconds, and a broker that is away takes them too.
        from leverframe.experiments.live.broker import given_broker

        given = given_broker()
    from rich.console import Console

    from leverframe.experiments.datasets import DATASETS, default_folder
    from leverframe.experiments.pool import QUICK, plan_jobs, run_jobs
    from leverframe.experiments.report import note_wall_time, write_report
    from leverframe.experiments.runs import Plan
    from leverframe.experiments.strategies import STRATEGIES

    names = (
        _names(data, list(DATASETS), "--data"),
        _names(strategies, list(STRATEGIES), "--strategies"),
    )
    console = Console(stderr=True)
    if live:
        from leverframe.experiments.live.command import run_live

        run_live(plan_jobs(QUICK, *names, seeds or 1), folder or default_folder(), console, given)
        return
    output = output / "quick" if quick else output
    started = time.monotonic()
    jobs = plan_jobs(QUICK if quick else Plan(), *names, seeds or (3 if quick else 20))
    made = run_jobs(jobs, output / "runs", folder or default_folder(), workers, console)
    took_s = time.monotonic() - started
    if made == sum(len(job.runs) for job in jobs):
        note_wall_time(output, made, took_s, workers)
    click.echo(f"{made} runs in {took_s:.0f} s on {workers} processes; {write_report(output)}")


@experiment.command(epilog=examples("leverframe experiment report"))
@_output
def report(output: Path) -> None:
    """Write the report anew from the runs that are there."""
    _require("matplotlib")
    from leverframe.experiments.report import write_report

    click.echo(write_report(output))


def _require(*modules: str) -> None:
    """Say what to install before anything is run."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise click.ClickException(
                f"{module} is missing; experiments need: pip install 'leverframe[demo]'"
            )


def _names(text: str, known: list[str], option: str) -> list[str]:
    if text == "all":
        return known
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"{option}: unknown {unknown[0]!r}; known: {', '.join(known)}, all")
    return names
