"""``leverframe experiment run --live``: broker, progress, a line for each run, the verdict."""

import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leverframe.experiments.live.broker import start_own
from leverframe.experiments.live.experiment import live_runs, serve_live
from leverframe.experiments.live.run import LiveResult
from leverframe.experiments.runs import Job
from leverframe.experiments.table import BLOCK

__all__ = ["run_live"]

_LINE = "{:<10} {:<19} {:>4} {:>7} {:>7}  {:<16}  {:<16}  {}"
_HEAD = _LINE.format("data", "strategy", "seed", "rows", "seconds", "live", "replay", "state")


def run_live(
    jobs: Sequence[Job], data_folder: Path | None, console: Console, given: str | None
) -> None:
    """Serve all jobs through Kafka and compare each with its replay.

    ``given`` is the user's broker; one of our own is started where there is none. Raises
    ``click.ClickException``: if there is nothing to serve, or a state differs from its replay's.
    """
    results: list[LiveResult] = []
    with ExitStack() as stack:
        # It reports every retry while topics and groups are new; what fails in the end is raised.
        log = logging.getLogger("aiokafka")
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-live-")))
        columns = TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn()
        # Lines that are written into a file must not be drawn on the terminal.
        is_seen = sys.stdout.isatty()
        progress = stack.enter_context(
            Progress(*columns, TimeElapsedColumn(), console=console, redirect_stdout=is_seen)
        )
        if given is not None:
            console.print(f"using the broker at {given}")
        servers = given or start_own(stack, folder, console.print)
        tables = progress.add_task("models", total=len(jobs))
        runs = []
        for job in jobs:
            runs += live_runs(job, data_folder)
            progress.advance(tables)
        served = {run.strategy for run in runs}
        if left_out := sorted({name for job in jobs for _, name in job.runs} - served):
            console.print(f"left out, no policy to serve: {', '.join(left_out)}")
        if not runs:
            raise click.ClickException("nothing to serve: name --strategies that have a policy")
        blocks = sum(-(-run.table.served // BLOCK) for run in runs)
        bar = progress.add_task("blocks", total=blocks)
        click.echo(_HEAD)

        def done(result: LiveResult) -> None:
            results.append(result)
            click.echo(_line(result))

        serve_live(runs, servers, folder, advance=lambda: progress.advance(bar), done=done)
    if wrong := [result.run.route for result in results if not result.is_equal]:
        raise click.ClickException(
            f"{len(wrong)} of {len(results)} states differ from their replay: {', '.join(wrong)}. "
            "Worker and replay must run the same code; else this is a bug, please report it"
        )


def _line(result: LiveResult) -> str:
    run = result.run
    return _LINE.format(
        run.data,
        run.strategy,
        run.seed,
        f"{run.table.served:,d}",
        f"{result.seconds:.1f}",
        result.digest,
        result.replayed.digest,
        "equal" if result.is_equal else "DIFFERENT",
    )
