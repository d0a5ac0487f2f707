"""Bytewax as a contender: join and totals in memory with recovery snapshots, at least once."""

from pathlib import Path
from typing import Final

from bench.peers.contender import Contender, Launcher, Report, python_job
from bench.peers.environments import python_with

__all__ = ["BYTEWAX"]

_JOB: Final = Path(__file__).parent / "jobs" / "bytewax_job.py"


def _prepare(report: Report) -> Launcher:
    python = python_with("bytewax", ["bytewax[kafka]==0.21.1", "orjson==3.11.4"], report)
    return lambda job: python_job(_JOB, job, python)


BYTEWAX: Final = Contender(
    name="bytewax",
    what="Bytewax 0.21, at least once: join and totals in memory, recovery snapshots in SQLite",
    prepare=_prepare,
    share=0.3,
)
