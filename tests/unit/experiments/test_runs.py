"""Runs and report: resumable, deterministic, honest about what is there."""

import csv
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from leverframe.experiments.command import experiment
from leverframe.experiments.page import verdict
from leverframe.experiments.pool import run_jobs
from leverframe.experiments.report import ReportError, write_report
from leverframe.experiments.runs import Job, Plan, missing, read_results, run_job
from leverframe.experiments.strategies import STRATEGIES
from leverframe.experiments.summary import BANDITS, Estimate, compare, estimate, grouped
from leverframe.policies.registry import POLICIES

PLAN = Plan(chunks=4, rows=2400)
RUNS = (("balanced", "newest"), ("balanced", "thompson"), ("balanced", "oracle"))


def job(seed: int = 0, plan: Plan = PLAN) -> Job:
    return Job(plan=plan, data="synthetic", seed=seed, runs=RUNS)


def test_runs_are_skipped_only_when_their_parameters_agree(tmp_path: Path) -> None:
    """A finished run is not made again; another plan, or a broken file, makes it anew."""
    assert missing(job(), tmp_path).runs == RUNS
    assert run_job(job(), tmp_path, None) == 3
    assert missing(job(), tmp_path).runs == ()
    assert missing(job(plan=Plan(chunks=5, rows=2400)), tmp_path).runs == RUNS
    (tmp_path / "synthetic-balanced-thompson-000.json").write_text("{")
    assert missing(job(), tmp_path).runs == (("balanced", "thompson"),)


def test_results_are_the_same_bytes_for_a_seed(tmp_path: Path) -> None:
    """Two runs of the same seed write the same files; another seed writes others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        run_job(job(seed), tmp_path / name, None)
    first, again, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in "abc"
    )
    assert first == again
    assert first != other


@pytest.mark.drill
def test_two_processes_write_what_one_writes(tmp_path: Path) -> None:
    """Results do not depend on how many processes make them."""
    jobs = [job(seed) for seed in (0, 1)]
    for name, workers in (("one", 1), ("two", 2)):
        made = run_jobs(jobs, tmp_path / name, None, workers, Console(quiet=True))
        assert made == 6
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two


def test_results_of_older_code_are_left_out(tmp_path: Path) -> None:
    """A result whose key is not today's does not enter the report."""
    run_job(job(), tmp_path, None)
    path = tmp_path / "synthetic-balanced-newest-000.json"
    old = msgspec.json.decode(path.read_bytes()) | {"key": "0" * 16}
    path.write_bytes(msgspec.json.encode(old))
    assert [result.strategy for result in read_results(tmp_path)] == ["oracle", "thompson"]


def test_command_runs_resumes_and_reports(tmp_path: Path) -> None:
    """``experiment run`` writes page, tables and pictures; a second call makes nothing new."""
    arguments = ["run", "--quick", "--data", "synthetic", "--seeds", "2", "--workers", "1"]
    arguments += ["--strategies", "newest,static_first,thompson", "--output", str(tmp_path)]
    first = CliRunner().invoke(experiment, arguments, catch_exceptions=False)
    again = CliRunner().invoke(experiment, arguments, catch_exceptions=False)
    assert "6 runs in" in first.output
    assert "0 runs in" in again.output
    folder = tmp_path / "quick"
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 6
    page = (folder / "README.md").read_text("utf-8")
    for name in ("reward", "traffic", "regret"):
        assert f"synthetic-balanced-{name}.png" in page
        assert (folder / f"synthetic-balanced-{name}.png").stat().st_size > 5000
    assert "All 6 runs took" in page
    before = page, (folder / "summary.csv").read_bytes()
    CliRunner().invoke(experiment, ["report", "--output", str(folder)], catch_exceptions=False)
    assert before == (
        (folder / "README.md").read_text("utf-8"),
        (folder / "summary.csv").read_bytes(),
    )


def test_command_refuses_unknown_names() -> None:
    """A wrong strategy is answered with the known ones, before anything runs."""
    answer = CliRunner().invoke(experiment, ["run", "--strategies", "luck"])
    assert answer.exit_code == 2
    assert "unknown 'luck'" in answer.output


def test_report_without_results_says_what_to_do(tmp_path: Path) -> None:
    """An empty folder is an error that names the command."""
    with pytest.raises(ReportError, match="leverframe experiment run"):
        write_report(tmp_path)


def test_every_registered_policy_is_compared() -> None:
    """A new policy must enter the experiment, or this fails; rows carry no context for lin_*.

    Weights by hand compare nothing.
    """
    without_context = {name for name in POLICIES if not name.startswith("lin_")} - {"static"}
    assert without_context == {s.policy for s in STRATEGIES.values() if s.policy}
    assert "thompson" in BANDITS
    assert "validation" not in BANDITS


def test_compare_pairs_runs_by_seed(tmp_path: Path) -> None:
    """A difference is taken within each seed, and its interval by Student's t."""
    for seed in (0, 1, 2):
        run_job(job(seed), tmp_path, None)
    group = grouped(read_results(tmp_path))["synthetic", "balanced"]
    pairs = zip(group["oracle"], group["newest"], strict=True)
    expected = estimate([a.metrics.reward - b.metrics.reward for a, b in pairs])
    assert compare(group, "oracle", "newest") == expected
    assert expected.mean > 0


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [
        (0.02, 0.01, "better than `x` by 0.0200"),
        (-0.02, 0.01, "worse than `x` by 0.0200"),
        (0.02, 0.03, "no different from `x`"),
        (0.02, float("inf"), "no different from `x`"),
    ],
)
def test_verdict_claims_nothing_inside_the_interval(mean: float, half: float, words: str) -> None:
    """Better or worse only where the interval leaves 0 out; one seed proves nothing."""
    assert verdict(Estimate(mean=mean, half=half, count=3), "x").startswith(words)
