"""The experiment through a real broker and a real worker, beside its replay."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from leverframe.experiments.command import experiment
from leverframe.experiments.live import command as live_command
from leverframe.experiments.live.experiment import live_runs, serve_live
from leverframe.experiments.live.run import LiveResult, LiveRun
from leverframe.experiments.replay import Arrivals
from leverframe.experiments.runs import Job, Plan
from leverframe.experiments.strategies import STRATEGIES
from leverframe.experiments.table import BLOCK, DELAY

pytestmark = pytest.mark.broker

# A bare policy by counts, warm, one by time, the shipped limits and guard, commands that promote.
SERVED = ("thompson_warm", "ucb", "discounted_thompson", "thompson_shipped", "validation")


def job_of(*strategies: str, rows: int = 2400) -> Job:
    runs = tuple(
        (reward, name) for reward in ("balanced", "accuracy") for name in (*strategies, "oracle")
    )
    return Job(plan=Plan(chunks=4, rows=rows), data="synthetic", seed=0, runs=runs)


def test_live_runs_take_one_reward_and_no_control() -> None:
    """What is served: the data set's first reward, and only strategies with a policy."""
    runs = live_runs(job_of("thompson", "ucb"), None)
    assert [run.route for run in runs] == ["synthetic-thompson-0", "synthetic-ucb-0"]
    assert {run.settings.reward.name for run in runs} == {"cost_matrix"}


@pytest.mark.drill
def test_live_state_equals_the_replay(broker: Any, tmp_path: Path) -> None:
    """For the same seed and order of arrival the control topic ends with the replay's digest."""
    runs = live_runs(job_of(*SERVED), None)
    results: dict[str, LiveResult] = {}
    blocks: list[None] = []
    serve_live(
        runs,
        broker.bootstrap,
        tmp_path,
        advance=lambda: blocks.append(None),
        done=lambda result: results.update({result.run.strategy: result}),
    )
    assert results.keys() == set(SERVED)
    decided = (runs[0].table.served - DELAY) // BLOCK
    assert decided >= 10
    assert len(blocks) == len(SERVED) * (decided + DELAY // BLOCK)
    for name, result in results.items():
        assert result.digest == result.replayed.digest, name
        assert result.is_equal
        # The draws followed the weights of the control topic, which were the replay's all along.
        assert np.array_equal(result.weights, result.replayed.weights)
        bare = not STRATEGIES[name].is_shipped
        # Shipped, a suspect's probation holds the weights in so short a run.
        least = decided if bare else 2
        assert least <= result.decisions <= decided, name
        moved = np.any(np.diff(result.weights, axis=0) != 0, axis=1).sum()
        assert moved >= (1 if STRATEGIES[name].is_promoted or not bare else 4), name
    # The digest tells states apart: other strategies and other draws end elsewhere.
    assert len({result.digest for result in results.values()}) == len(SERVED)


@pytest.mark.drill
def test_arrivals_change_what_is_replayed() -> None:
    """Seed, time and route enter the digest; an order inside the blocks is followed."""
    (run,) = live_runs(job_of("discounted_thompson"), None)
    order = np.arange(run.table.served).reshape(-1, BLOCK)[:, ::-1].reshape(-1)
    variants = [
        Arrivals(),
        Arrivals(start_ms=1_010_000),
        Arrivals(route="other"),
        Arrivals(order=order),
    ]
    assert len({run.replayed(arrivals).digest for arrivals in variants}) == len(variants)
    assert run.replayed(Arrivals(order=np.sort(order))).digest == run.replayed(Arrivals()).digest


@pytest.mark.drill
def test_command_says_which_runs_differ(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each run; a digest that differs from the replay's is an error that names it."""
    wrong: set[str] = set()

    def serve(
        runs: Sequence[LiveRun],
        servers: str,
        *_: Any,
        done: Callable[[LiveResult], None],
        **__: Any,
    ) -> None:
        assert servers == broker.bootstrap
        for run in runs:
            replayed = run.replayed(Arrivals())
            digest = "0" * 16 if run.strategy in wrong else replayed.digest
            done(
                LiveResult(
                    run=run,
                    seconds=1.5,
                    digest=digest,
                    weights=replayed.weights,
                    decisions=1,
                    replayed=replayed,
                )
            )

    monkeypatch.setattr(live_command, "serve_live", serve)
    arguments = ["run", "--live", "--data", "synthetic", "--strategies", "newest,ucb,oracle"]
    environment = {"LEVERFRAME_BROKER": broker.bootstrap}
    right = CliRunner().invoke(experiment, arguments, env=environment, catch_exceptions=False)
    assert right.exit_code == 0
    assert [line.split()[-1] for line in right.stdout.splitlines()] == ["state", "equal", "equal"]
    assert "no policy to serve: oracle" in right.stderr
    wrong.add("ucb")
    told = CliRunner().invoke(experiment, arguments, env=environment)
    assert told.exit_code == 1
    assert [line.split()[-1] for line in told.stdout.splitlines()[1:]] == ["equal", "DIFFERENT"]
    assert "1 of 2 states differ from their replay: synthetic-ucb-0" in told.stderr
    nothing = CliRunner().invoke(experiment, [*arguments[:-1], "oracle"], env=environment)
    assert nothing.exit_code == 1
    assert "nothing to serve" in nothing.stderr
