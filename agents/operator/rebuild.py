"""Writes lost changelogs again from the caches of this machine, while no worker runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from leverframe.agents.datadir import claim
from leverframe.agents.ledgers import AGENTS, AgentName, ledger_settings, partitions_of
from leverframe.agents.operator.restart import require_no_member
from leverframe.agents.settings import Settings
from leverframe.streams.runtime.rebuild import Rebuilt, rebuild_changelog
from leverframe.streams.runtime.store import Memory

__all__ = ["rebuild_all"]

_CACHE_BYTES: Final = 64 << 20


async def rebuild_all(
    settings: Settings,
    report: Callable[[AgentName, int, Rebuilt], None],
    report_waiting: Callable[[str], None],
) -> list[tuple[AgentName, int, Rebuilt]]:
    """Go through all partitions of both agents.

    ``report`` hears of each, ``report_waiting`` of members that have yet to leave.
    Raises ``SettingsError`` if a worker has the data folder, ``LeverframeError`` if one is in the
    group, ``LedgerError`` where cache and changelog both went on.
    """
    claim(Path(settings.app.datadir))
    await require_no_member(settings, report_waiting)
    memory = Memory(_CACHE_BYTES, _CACHE_BYTES)
    found = []
    for agent in AGENTS:
        for partition in range(partitions_of(settings, agent)):
            done = await rebuild_changelog(ledger_settings(settings, agent, memory), partition)
            report(agent, partition, done)
            found.append((agent, partition, done))
    return found
