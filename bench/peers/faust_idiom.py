"""Idiomatic Faust as a contender: records, tables, ``topic.send``, as its user guide shows."""

from pathlib import Path
from typing import Final

from bench.peers.contender import Contender, Launcher, Report, python_job

__all__ = ["FAUST"]

_JOB: Final = Path(__file__).parent / "jobs" / "faust_job.py"


def _prepare(_: Report) -> Launcher:
    return lambda job: python_job(_JOB, job)


FAUST: Final = Contender(
    name="faust",
    what="Faust idiom: faust.Record, faust.Table on RocksDB, topic.send; at least once",
    prepare=_prepare,
    share=0.02,
)
