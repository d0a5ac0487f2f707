"""The drills of ``make drills`` in a short, seeded form."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import SHORT_SESSION

from drills.drill import Drill, Place, run_drill
from drills.launcher_points import NAMED
from drills.workers import freeze, harm_disks, kill_at_points

pytestmark = pytest.mark.broker

_POINTS = [
    point
    for point in NAMED
    if (point.agent + point.name) in {"attribution/after", "learning/inside"}
]


@pytest.mark.parametrize(
    ("drill", "times"),
    [
        pytest.param(
            Drill("points", partial(kill_at_points, points=_POINTS)), 2, marks=pytest.mark.drill
        ),
        (Drill("disks", partial(harm_disks, kinds=["WAL truncated"])), 1),
        pytest.param(
            Drill("tables", partial(harm_disks, kinds=["SST flipped"])), 1, marks=pytest.mark.drill
        ),
        # test_rebalance.py has one worker frozen and resumed
        pytest.param(Drill("frozen", freeze), 2, marks=pytest.mark.drill),
    ],
    ids=lambda value: value.name if isinstance(value, Drill) else "",
)
def test_short_drill_holds(
    drill: Drill, times: int, broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Everything that is promised holds afterwards; see docs/promises.md."""
    session_s = 2.0 if SHORT_SESSION else 6.0
    place = Place(
        servers=broker.bootstrap, folder=tmp_path, seed=8, rate=300.0, session_s=session_s
    )
    drill = replace(drill, name=unique_prefix + drill.name)
    result = asyncio.run(run_drill(drill, place, times))
    assert result.injections == times
    assert not result.faults, result
