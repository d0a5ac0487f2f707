"""Quix Streams as a contender: a stateful join and totals, exactly once, in an own environment."""

from pathlib import Path
from typing import Final

from bench.peers.contender import Contender, Launcher, Report, python_job
from bench.peers.environments import python_with

__all__ = ["QUIX"]

_JOB: Final = Path(__file__).parent / "jobs" / "quix_job.py"


def _prepare(report: Report) -> Launcher:
    python = python_with("quix", ["quixstreams==3.28.1"], report)
    return lambda job: python_job(_JOB, job, python)


QUIX: Final = Contender(
    name="quix",
    what="Quix Streams 3.28, exactly once, join and totals each a process (CPU: the join's)",
    prepare=_prepare,
    share=0.3,
)
