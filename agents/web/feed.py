"""Follows ``control`` for the page: a day's history first, then each message as it comes.

A topic of a busy job holds millions of heartbeats a day. Up to a number of records it is read
whole; beyond that, a few records of every five minutes, and the newest whole.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final

from aiokafka import TopicPartition

from leverframe.agents.settings import Settings
from leverframe.agents.web.history import History
from leverframe.agents.web.samples import SAMPLED_EVERY_MS, SAMPLING, offsets_at, samples
from leverframe.schemas.errors import LeverframeError
from leverframe.schemas.signing import read_control
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.topology import DAY_MS

__all__ = ["Feed"]

log = make_logger()

WHOLE_RECORDS: Final = 50_000
# A step is short, and the job itself goes on between two of them.
_STEP_RECORDS: Final = 200
_STEP_PAUSE_S: Final = 0.005
_RETRY_S: Final = 5.0
_FLUSH_S: Final = 0.25
_MOST_VIEWERS: Final = 50


class _Viewer:
    """Somebody with an open page, and the routes that it does not show as they are."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.due = asyncio.Event()


class Feed:
    """What the page knows, the ``history`` of all routes, and who is watching.

    So many of the newest records are read whole; ``share_read`` says how much of the history was
    read, 1 when all of it. ``now_ms`` is wall time; ``lost`` counts records, by topic, that were
    removed before this worker read them.
    """

    def __init__(
        self,
        settings: Settings,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        whole_records: int = WHOLE_RECORDS,
        lost: Mapping[str, int] | None = None,
    ) -> None:
        self.lost = {} if lost is None else lost
        self._settings = settings
        self._whole_records = whole_records
        self._now_ms = now_ms
        self.history = History()
        self.share_read = 0.0
        self._viewers: set[_Viewer] = set()
        self._is_closed = False
        self._changed: set[str] = set()

    async def follow(self) -> None:
        """Read for ever; an outage of the broker is waited out."""
        flushing = asyncio.create_task(self._flush(), name="dashboard-flush")
        try:
            while True:
                try:
                    await self._read()
                except Exception as error:  # noqa: BLE001 - no page may end the job
                    log.warning(
                        "dashboard_reading_failed",
                        message="the dashboard cannot read the control topic, again soon: "
                        f"{error!r}",
                    )
                    await asyncio.sleep(_RETRY_S)
        finally:
            flushing.cancel()

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        """Yield the routes that changed, as they change; what comes too fast is joined together.

        All of them come first. Raises ``LeverframeError`` if too many are watching already.
        """
        if len(self._viewers) >= _MOST_VIEWERS:
            raise LeverframeError(f"{_MOST_VIEWERS} pages are open already; close some")
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            yield frozenset(self.history.routes)
            while not self._is_closed:
                await viewer.due.wait()
                viewer.due.clear()
                changed, viewer.changed = frozenset(viewer.changed), set()
                yield changed
        finally:
            self._viewers.discard(viewer)

    async def close(self, _: object = None) -> None:
        """End what the viewers wait for: the server waits for open pages before it stops."""
        self._is_closed = True
        for viewer in self._viewers:
            viewer.due.set()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            if self._changed and self.share_read == 1.0:
                changed, self._changed = frozenset(self._changed), set()
                for viewer in self._viewers:
                    viewer.changed |= changed
                    viewer.due.set()

    async def _read(self) -> None:
        topic = self._settings.topic_names.control
        partitions = [
            TopicPartition(topic, p) for p in range(self._settings.topics.route_partitions)
        ]
        consuming = partial(
            open_consumer,
            self._settings.broker,
            partitions=partitions,
            auto_offset_reset="earliest",
        )
        async with consuming(**SAMPLING) as sampling:
            begins = await self._begins(sampling, partitions)
        async with consuming() as consumer:
            await self._catch_up(consumer, begins)
            self.share_read = 1.0
            while True:
                await self._step(consumer, timeout_ms=500)

    async def _begins(
        self, consumer: Any, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """From where all is read; what lies before is sampled here."""
        now_ms = self._now_ms()
        day = await offsets_at(consumer, partitions, now_ms - DAY_MS)
        ends = await consumer.end_offsets(partitions)
        if sum(ends[tp] - day[tp] for tp in partitions) <= self._whole_records:
            return day
        whole = self._whole_records // len(partitions)
        begins = {tp: max(day[tp], ends[tp] - whole) for tp in partitions}
        times_ms = range(now_ms - DAY_MS, now_ms, SAMPLED_EVERY_MS)
        for done, (tp, begin) in enumerate(begins.items()):
            async for at_ms, records in samples(consumer, tp, begin, times_ms):
                for record in records:
                    self._note(record)
                part = 1 - (now_ms - at_ms) / DAY_MS
                self.share_read = 0.8 * (done + part) / len(begins)
        return begins

    async def _catch_up(self, consumer: Any, begins: dict[TopicPartition, int]) -> None:
        partitions = list(begins)
        for tp, offset in begins.items():
            consumer.seek(tp, offset)
        ends = await consumer.end_offsets(partitions)
        total = max(1, sum(ends[tp] - begins[tp] for tp in partitions))
        base = self.share_read
        while True:
            positions = [await consumer.position(tp) for tp in partitions]
            left = sum(max(0, ends[tp] - at) for tp, at in zip(partitions, positions, strict=True))
            if not left:
                return
            self.share_read = base + (0.999 - base) * (1 - left / total)
            await self._step(consumer, timeout_ms=200)
            await asyncio.sleep(_STEP_PAUSE_S)

    async def _step(self, consumer: Any, timeout_ms: int) -> None:
        fetched = await consumer.getmany(timeout_ms=timeout_ms, max_records=_STEP_RECORDS)
        for records in fetched.values():
            for record in records:
                self._note(record)

    def _note(self, record: Any) -> None:
        message = read_control(record, self._settings.control_keys)
        if message is None or message.route.encode() != record.key:
            return
        if self.history.note(message, record.timestamp):
            self._changed.add(message.route)
