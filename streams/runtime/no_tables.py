"""Stands where Faust keeps its tables, of which the job has none."""

from typing import Final

from faust.tables.manager import TableManager

__all__ = ["NoTables"]

_LOOK_S: Final = 0.01


class NoTables(TableManager):
    """Lets Faust subscribe as soon as every agent has said what it reads.

    Faust waits for a second instead, whether they have or not.
    """

    async def on_start(self) -> None:
        """Wait for the agents, then say that no table is missing."""
        reads = self.app.transport.charge.reads  # type: ignore[attr-defined]
        while not self.should_stop and not reads <= self._known():
            await self.sleep(_LOOK_S)
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    def _known(self) -> set[str]:
        return {name for channel in self.app.topics for name in channel.topics}
