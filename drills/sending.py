"""Open-loop producers: arrivals come when the script says, whatever the workers do."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from harness import Deployment

from drills.arrivals import Arrivals, Arriving

__all__ = ["Sending", "sending"]

_STEP_S: Final = 0.02


@dataclass
class Sending:
    """A producer at work.

    Attributes
    ----------
    arrivals : Arrivals
        What is sent.
    per_second : float
        Requests.
    age_ms : int
        Added to the age of every record: clocks of producers that lag, or lead when negative.
    requests, records : int
        Begun and sent so far.
    """

    arrivals: Arrivals
    per_second: float
    age_ms: int = 0
    requests: int = 0
    records: int = 0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: list[BaseException] = field(default_factory=list)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def finish(self, at_least: int = 0) -> None:
        """Begin no more requests than there are, once there are enough; send what is left."""
        while self.requests < at_least and not self._done.is_set():
            await asyncio.sleep(_STEP_S)
        self._enough.set()
        await self._done.wait()
        if self._failures:
            raise self._failures[0]

    async def run(self, deployment: Deployment) -> None:
        """Send until told that it is enough."""
        topics = deployment.settings.topic_names
        names = (topics.predictions, topics.ground_truth)
        producer: Any = AIOKafkaProducer(
            bootstrap_servers=deployment.settings.broker.servers,
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=256 << 10,
            acks="all",
        )
        await producer.start()
        arriving = Arriving(self.arrivals)
        began_s = time.monotonic()
        try:
            while not self._enough.is_set():
                due = int((time.monotonic() - began_s) * self.per_second)
                while self.requests < due and not self._enough.is_set():
                    await self._send(producer, names, arriving.next())
                    self.requests = arriving.requests
                await asyncio.sleep(_STEP_S)
            await self._send(producer, names, arriving.rest())
            await producer.flush()
        except BaseException as error:
            self._failures.append(error)
            raise
        finally:
            self._done.set()
            await producer.stop()

    async def _send(self, producer: Any, names: tuple[str, str], events: list[Any]) -> None:
        now_ms = time.time_ns() // 1_000_000 - self.age_ms
        for event in events:
            sent = await producer.send(
                names[event.topic], event.value, key=event.key, timestamp_ms=now_ms - event.age_ms
            )
            sent.add_done_callback(self._look)
            self.records += 1

    def _look(self, sent: "asyncio.Future[Any]") -> None:
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._failures.append(error)


@asynccontextmanager
async def sending(
    deployment: Deployment, arrivals: Arrivals, per_second: float, age_ms: int = 0
) -> AsyncIterator[Sending]:
    """Send in the background while inside."""
    it = Sending(arrivals, per_second, age_ms)
    task = asyncio.create_task(it.run(deployment))
    try:
        yield it
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
