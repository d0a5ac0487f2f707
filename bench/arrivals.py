"""Latencies of rewards and control messages as they arrive at a read-committed consumer."""

import time
from collections.abc import Iterable
from typing import Any

from schemas.codec import decoder
from schemas.control import ControlMessage
from schemas.reward import Reward
from streams.topology import Topics

__all__ = ["Arrivals"]


class Arrivals:
    """Collects latencies, ms, from a label's record time to the arrival of what came of it.

    A control message carries the record time of the label that decided it, a reward that of its
    label. Heartbeats are not looked at.

    Parameters
    ----------
    topics : Topics
        Names of the worker's topics.
    """

    def __init__(self, topics: Topics) -> None:
        self.found: dict[str, list[float]] = {"reward": [], "control message": []}
        self.from_ms = float("inf")
        self.rewards = 0
        self._topics = topics
        self._reward, self._control = decoder(Reward), decoder(ControlMessage)

    def take(self, topic: str, records: Iterable[Any], now_ms: float) -> None:
        """Note what arrived; labels from before ``from_ms`` belong to the warm-up.

        Parameters
        ----------
        topic : str
            Full name; of rewards or control messages.
        records : iterable of ConsumerRecord
            Of that topic.
        now_ms : float
            Wall time of the arrival.
        """
        is_reward = topic == self._topics.rewards
        for record in records:
            if is_reward:
                self.rewards += 1
                at_ms = float(self._reward(record.value).attributed_at_ms)
                kind = "reward"
            else:
                message = self._control(record.value)
                if message.kind == "heartbeat":
                    continue
                at_ms, kind = float(message.issued_at_ms), "control message"
            if at_ms >= self.from_ms:
                self.found[kind].append(now_ms - at_ms)

    async def follow(self, consumer: Any) -> None:
        """Take what comes until cancelled.

        Parameters
        ----------
        consumer : AIOKafkaConsumer
            Of both topics, read committed.
        """
        while True:
            fetched = await consumer.getmany(timeout_ms=100)
            now_ms = time.time() * 1000
            for tp, records in fetched.items():
                self.take(tp.topic, records, now_ms)
