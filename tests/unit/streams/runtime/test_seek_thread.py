"""A seek happens in the consumer's own thread, never under the feet of a fetch."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from mode.threads import QueueServiceThread

from leverframe.streams.runtime.microbatch import MicrobatchConsumer, MicrobatchThread


class RecordingThread(QueueServiceThread):
    """A real thread with its queue of calls, and a consumer that notes where it is called."""

    sought: list[tuple[int, TP, int]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sought = []

    def _ensure_consumer(self) -> Any:
        return SimpleNamespace(
            seek=lambda tp, offset: self.sought.append((threading.get_ident(), tp, offset))
        )

    async def seek_here(self, tp: TP, offset: int) -> None:
        await MicrobatchThread.seek_here(self, tp, offset)  # type: ignore[arg-type]

    def seek(self, tp: TP, offset: int) -> None:
        """As Faust's own: in whichever thread asks."""
        self._ensure_consumer().seek(tp, offset)


def test_seek_is_made_by_the_thread_that_fetches() -> None:
    async def scenario() -> None:
        thread = RecordingThread(loop=asyncio.get_running_loop())
        await thread.start()
        try:
            consumer: Any = SimpleNamespace(_thread=thread)
            await MicrobatchConsumer._seek(consumer, TP("t", 0), 7)
        finally:
            await thread.stop()
        [(ident, tp, offset)] = thread.sought
        assert (tp, offset) == (TP("t", 0), 7)
        assert ident != threading.get_ident()

    asyncio.run(scenario())
