"""Rounds of a comparison: in each, everybody drains the same topics in turn.

Who begins rotates from round to round, so that nobody always comes after the same one.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from bench.compare.ceilings import CEILINGS, Ceiling
from bench.peers.contender import Contender, Launcher, LeftOutError
from bench.peers.drain import Drained, DrainError, drain_with
from bench.peers.scene import Scene, make_job, scene

__all__ = ["Comparison", "compare", "prepared", "say"]

Entrant: TypeAlias = tuple[Contender, Launcher] | Ceiling
_LEAST_PAIRS: Final = 2000


class Comparison(msgspec.Struct, kw_only=True):
    """What all rounds gave.

    Attributes
    ----------
    pairs, rounds : int
        Of the full size; a slow contender had ``shares[name]`` of the pairs.
    runs : dict of str to dict of int to Drained
        By contender and round.
    ceilings : dict of str to dict of int to float
        Events a second, by ceiling and round.
    left_out : dict of str to str
        Contenders without a time, and why.
    what : dict of str to str
        One line about each contender.
    shares : dict of str to float
        Of the pairs.
    """

    pairs: int
    rounds: int
    runs: dict[str, dict[int, Drained]] = msgspec.field(default_factory=dict)
    ceilings: dict[str, dict[int, float]] = msgspec.field(default_factory=dict)
    left_out: dict[str, str] = msgspec.field(default_factory=dict)
    what: dict[str, str] = msgspec.field(default_factory=dict)
    shares: dict[str, float] = msgspec.field(default_factory=dict)

    def rates(self, name: str) -> dict[int, float]:
        """Return events a second of a contender or ceiling.

        By round; empty when it was left out.
        """
        if name in self.ceilings:
            return self.ceilings[name]
        return {at: run.timing.events_per_s for at, run in self.runs.get(name, {}).items()}

    def warm_rates(self, name: str) -> dict[int, float]:
        """Return events a second of a contender by round, from half of its rewards on."""
        return {at: run.timing.late_events_per_s for at, run in self.runs.get(name, {}).items()}


def say(text: str) -> None:
    """Show progress: on stderr, since stdout is for results."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def prepared(
    contenders: Sequence[Contender], comparison: Comparison
) -> list[tuple[Contender, Launcher]]:
    """Make contenders ready; note those that cannot take part."""
    ready = []
    for contender in contenders:
        comparison.what[contender.name] = contender.what
        comparison.shares[contender.name] = contender.share
        try:
            ready.append((contender, contender.prepare(say)))
        except LeftOutError as error:
            comparison.left_out[contender.name] = str(error)
            say(f"{contender.name} is left out: {error}")
    return ready


async def compare(
    servers: str,
    ready: Sequence[tuple[Contender, Launcher]],
    ceilings: Sequence[str],
    comparison: Comparison,
) -> None:
    """Run all rounds."""
    entrants: list[tuple[str, Entrant]] = [(name, CEILINGS[name]) for name in ceilings]
    entrants += [(pair[0].name, pair) for pair in ready]
    for at in range(comparison.rounds):
        turn = at % max(1, len(entrants))
        async with AsyncExitStack() as stack:
            scenes: dict[tuple[int, str], Scene] = {}
            for name, entrant in [*entrants[turn:], *entrants[:turn]]:
                share = comparison.shares.get(name, 1.0)
                count = max(_LEAST_PAIRS, round(comparison.pairs * share))
                wanted = count, entrant[0].scene if isinstance(entrant, tuple) else "shared"
                if wanted not in scenes:
                    scenes[wanted] = await stack.enter_async_context(scene(servers, count, at))
                await _run(name, entrant, scenes[wanted], at, comparison)
        _summary(comparison, at)


async def _run(name: str, entrant: Entrant, where: Scene, at: int, comparison: Comparison) -> None:
    """Let one have its turn."""
    with tempfile.TemporaryDirectory(prefix="leverframe-bench-") as folder:
        if not isinstance(entrant, tuple):
            rate = await entrant(where, Path(folder))
            comparison.ceilings.setdefault(name, {})[at] = rate
            say(f"round {at + 1}/{comparison.rounds} {name}: {rate:,.0f} events/s")
            return
        contender, launcher = entrant
        job = await make_job(where, contender, Path(folder))
        partitions = where.settings.topics.route_partitions
        try:
            run = await drain_with(contender, launcher, job, where.expected, partitions)
        except DrainError as error:
            comparison.left_out[name] = f"round {at + 1}: {error}"
            say(f"{name} failed: {error}")
            return
        comparison.runs.setdefault(name, {})[at] = run
        timing = run.timing
        say(
            f"round {at + 1}/{comparison.rounds} {name}: {timing.events_per_s:,.0f} events/s "
            f"(warm {timing.late_events_per_s:,.0f}), {where.pairs:,} pairs, "
            f"{timing.last_s:.1f} s with its start"
        )


def _summary(comparison: Comparison, at: int) -> None:
    names: Mapping[str, object] = {**comparison.ceilings, **comparison.runs}
    medians = (
        f"{name} {statistics.median(comparison.rates(name).values()):,.0f}" for name in names
    )
    say(f"medians after round {at + 1}: " + ", ".join(medians))
