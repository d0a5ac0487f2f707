"""What the demo sees of the job from outside: control messages, rewards, offsets."""

import asyncio
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leverframe.agents.settings import Settings
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import RecordError
from leverframe.schemas.reward import Reward
from leverframe.serving.patches import read_any_record
from leverframe.serving.subscriber import Subscriber

__all__ = ["Health", "Observer"]

_WINDOW: Final = 200
# What else lies among rewards: measurements, marks of a restart.
_RESERVED: Final = b"\x00"


class Health(dict[str, int]):
    """Counts: predictions, labels, rewards, waiting, dead letters, lag, refused records."""


class Observer:
    """Follows one route: ``rewards`` with their ``offsets``; ``labels`` counts those served.

    Parameters
    ----------
    settings : Settings
        Of the demo's application.
    route : str
        The route followed.
    """

    def __init__(self, settings: Settings, route: str) -> None:
        self._settings = settings
        self._route = route
        self.began_s = time.monotonic()
        self.messages: list[tuple[float, ControlMessage]] = []
        self.rewards: list[tuple[float, Reward]] = []
        self.offsets: list[int] = []
        self.labels = 0
        self.recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self.health = Health()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._subscriber = Subscriber(
            settings.broker.servers,
            control=settings.topic_names.control,
            on_routing=self._on_message,
        )

    @property
    def now_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self.began_s

    async def start(self) -> None:
        """Begin to follow."""
        await self._subscriber.start()
        self._tasks = [
            asyncio.create_task(self._follow_rewards()),
            asyncio.create_task(self._follow_offsets()),
        ]

    async def stop(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._subscriber.stop()

    @property
    def newest(self) -> ControlMessage | None:
        """The message in force."""
        return self.messages[-1][1] if self.messages else None

    @property
    def weights(self) -> dict[str, float]:
        """Weights in force."""
        return self.newest.weights if self.newest is not None else {}

    def labels_of(self, arm: str) -> int:
        """Count the labels of an arm that were seen."""
        return sum(reward.arm == arm for _, reward in self.rewards)

    async def wait_for_news(self, timeout_s: float) -> None:
        """Wait until something more was seen, or for that time."""
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    def _on_message(self, message: ControlMessage) -> None:
        if message.route == self._route:
            self.messages.append((self.now_s, message))
            self._changed.set()

    async def _follow_rewards(self) -> None:
        topics = self._settings.topic_names
        read_any_record()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.broker.servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            partitions = range(self._settings.topics.route_partitions)
            consumer.assign([TopicPartition(topics.rewards, p) for p in partitions])
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        if (record.key or b"").startswith(_RESERVED):
                            continue
                        try:
                            reward = decode(Reward, record.value or b"")
                        except RecordError:
                            self.health.update(refused=self.health.get("refused", 0) + 1)
                            continue
                        self.rewards.append((self.now_s, reward))
                        self.offsets.append(record.offset)
                        self.labels += reward.served
                        if reward.reward is not None:
                            self.recent[reward.arm].append(reward.reward)
                    self._changed.set()
        finally:
            await consumer.stop()

    async def _follow_offsets(self) -> None:
        topics = self._settings.topic_names
        broker = self._settings.broker.servers
        consumer = AIOKafkaConsumer(bootstrap_servers=broker)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await consumer.start()
        await admin.start()
        group = topics.prefix + self._settings.app.id
        counted = {
            topics.predictions: self._settings.topics.partitions,
            topics.ground_truth: self._settings.topics.partitions,
            topics.dead_letters: self._settings.topics.route_partitions,
        }
        try:
            while True:
                tps = [TopicPartition(name, p) for name, n in counted.items() for p in range(n)]
                ends = await consumer.end_offsets(tps)
                try:
                    committed = await admin.list_consumer_group_offsets(group)
                except KafkaError:
                    committed = {}
                self._count(ends, committed)
                await asyncio.sleep(0.5)
        finally:
            await consumer.stop()
            await admin.close()

    def _count(self, ends: dict[Any, int], committed: dict[Any, Any]) -> None:
        topics = self._settings.topic_names
        totals: defaultdict[str, int] = defaultdict(int)
        lag = 0
        for tp, end in ends.items():
            totals[tp.topic] += end
            if tp.topic != topics.dead_letters:
                at = committed.get(tp)
                lag += end - (max(0, at.offset) if at is not None else 0)
        rewarded = len(self.rewards)
        self.health.update(
            predictions=totals[topics.predictions],
            labels=totals[topics.ground_truth],
            rewards=rewarded,
            waiting=max(0, totals[topics.predictions] - rewarded),
            dead_letters=totals[topics.dead_letters],
            lag=lag,
        )
