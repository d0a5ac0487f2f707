"""Writes the report: CSV, pictures, and a page that says where a bandit wins and where not."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from leverframe.experiments import page
from leverframe.experiments.metrics import Metrics
from leverframe.experiments.plots import draw
from leverframe.experiments.runs import Result, read_results
from leverframe.experiments.summary import Group, estimate, grouped, metric
from leverframe.schemas.errors import LeverframeError

__all__ = ["METRICS", "ReportError", "note_wall_time", "write_report"]

METRICS: Final = tuple(field.name for field in msgspec.structs.fields(Metrics))
_IGNORED: Final = "runs/\nquick/\n"
_WALL: Final = "wall.txt"


class ReportError(LeverframeError):
    """There is nothing to report.

    What happened: the folder holds no results. The job does nothing. The operator runs
    ``leverframe experiment run`` first, or names the right folder.
    """


def write_report(output: Path) -> Path:
    """Write every file of the report.

    Raises ``ReportError`` if there are no results.
    """
    results = read_results(output / "runs")
    if not results:
        raise ReportError(f"no results in {output / 'runs'}; make some: leverframe experiment run")
    (output / ".gitignore").write_text(_IGNORED)
    groups = grouped(results)
    _write_runs(output / "runs.csv", results)
    _write_summary(output / "summary.csv", groups)
    pictures = {key: draw(output, f"{key[0]}-{key[1]}", group) for key, group in groups.items()}
    wall = output / _WALL
    note = wall.read_text("utf-8").strip() if wall.is_file() else ""
    path = output / "README.md"
    path.write_text(page.render(groups, pictures, note), encoding="utf-8")
    return path


def note_wall_time(output: Path, runs: int, seconds: float, workers: int) -> None:
    """Keep for the page how long the runs took, when all were made in one go."""
    text = f"All {runs:,} runs took {seconds:.0f} s on {workers} processes, training included.\n"
    (output / _WALL).write_text(text, encoding="utf-8")


def _write_runs(path: Path, results: Sequence[Result]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data", "reward", "strategy", "seed", *METRICS, "digest"])
        for result in results:
            figures = [_short(getattr(result.metrics, name)) for name in METRICS]
            head = [result.data, result.reward, result.strategy, result.seed]
            writer.writerow([*head, *figures, result.digest])


def _write_summary(path: Path, groups: dict[tuple[str, str], Group]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        spread = [f"{name}{end}" for name in METRICS for end in ("", "_95", "_runs")]
        writer.writerow(["data", "reward", "strategy", *spread])
        for (data, reward), group in groups.items():
            for strategy, results in group.items():
                row: list[object] = [data, reward, strategy]
                for name in METRICS:
                    row += _cells(metric(results, name))
                writer.writerow(row)


def _cells(values: list[float]) -> list[object]:
    """Mean, half interval, number of runs that have the figure."""
    if not values:
        return ["", "", 0]
    found = estimate(values)
    return [_short(found.mean), _short(found.half), found.count]


def _short(value: float | None) -> object:
    return "" if value is None else float(f"{value:.6g}")
