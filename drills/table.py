"""The table that ``make drills`` ends with, and its file."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from drills.drill import Result

__all__ = ["print_table", "write_results"]


def print_table(results: Sequence[Result]) -> None:
    """Print one row for each drill, the sums, and what was not as promised."""
    table = Table(title="failure drills")
    for head in ("drill", "injections", "labels", "lost", "twice", "wrong", "longest pause", ""):
        table.add_column(head, justify="left" if head in {"drill", ""} else "right")
    for result in results:
        rewards = result.rewards
        numbers = (result.injections, rewards.labels, rewards.lost, rewards.twice, rewards.wrong)
        verdict = "held" if result.is_good else "BROKEN"
        pause = f"{result.longest_pause_s:.1f} s"
        table.add_row(result.drill, *(f"{number:,}" for number in numbers), pause, verdict)
    sums = [
        sum(result.injections for result in results),
        *(
            sum(getattr(result.rewards, what) for result in results)
            for what in ("labels", "lost", "twice", "wrong")
        ),
    ]
    table.add_section()
    table.add_row("all", *(f"{number:,}" for number in sums), "", "")
    console = Console(width=110)
    console.print(table)
    for result in results:
        for fault in result.faults:
            console.print(f"{result.drill}: {fault}", markup=False)
        if result.notes:
            console.print(f"{result.drill}: {result.notes}", markup=False)


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write everything that was found as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([result.as_dict() for result in results], indent=1) + "\n")
