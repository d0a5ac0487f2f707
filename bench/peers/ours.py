"""Leverframe's worker as a contender: exactly once, with all its outputs on."""

import sys
from collections.abc import Iterator
from typing import Final

from bench.peers.contender import Contender, Job, Launcher, Program, Report
from leverframe.policies.units import NANO
from leverframe.streams.learning.state import decode_route

__all__ = ["OURS"]


def _read_totals(key: bytes, value: bytes) -> Iterator[tuple[str, tuple[int, float]]]:
    """Totals of a route's state; keys that begin with NUL are the ledger's own."""
    if key.startswith(b"\x00"):
        return
    state = decode_route(value)
    for name, arm in state.arms.items():
        yield f"{state.route}/{name}", (arm.count, arm.sum_nano / NANO)


def _contender(name: str, processes: int, scene: str = "shared") -> Contender:
    def prepare(_: Report) -> Launcher:
        def launch(job: Job) -> Program:
            prefix = job.predictions.removesuffix("predictions")
            return Program(
                argv=[sys.executable, "-m", "leverframe.agents.cli.main", "worker"],
                environment={
                    "LEVERFRAME_BROKER": job.servers,
                    "LEVERFRAME_TOPICS__PREFIX": prefix,
                    "LEVERFRAME_APP__DATADIR": str(job.folder),
                    "LEVERFRAME_APP__LOG_LEVEL": "info",
                    "LEVERFRAME_APP__PROCESSES": str(processes),
                },
            )

        return launch

    return Contender(
        name=name,
        what="leverframe worker, exactly once: rewards, changelogs, statistics, guard, control; "
        f"processes {processes}",
        prepare=prepare,
        read_totals=_read_totals,
        writes_beside_input=True,
        scene=scene,
    )


OURS: Final = (_contender("ours", 2), _contender("ours-1", 1, scene="own"))
