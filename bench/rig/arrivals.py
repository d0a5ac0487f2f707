"""Latencies of rewards and control messages as they arrive at a read-committed consumer."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from leverframe.schemas.codec import decoder
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.ledger import POSITIONS_KEY, Positions
from leverframe.streams.topology import Topics

__all__ = ["Arrivals"]


class Arrivals:
    """Collects latencies, ms, from a label's record time to the arrival of what came of it.

    A control message carries the record time of the label that decided it, a reward that of its
    label. Heartbeats are not looked at.

    Parameters
    ----------
    topics : Topics
        Names of the worker's topics.
    routes : str
        How the names of the routes begin whose latencies are looked at.

    Attributes
    ----------
    found : dict of str to list of float
        Latencies by kind.
    from_ms : float
        Record time of the first label that counts.
    rewards : int
        All that came, those of the warm-up too.
    arms : dict of str to int
        Arms of each route, by its newest control message.
    """

    def __init__(self, topics: Topics, routes: str = "") -> None:
        self.found: dict[str, list[float]] = {"reward": [], "control message": []}
        self.from_ms = float("inf")
        self.rewards = 0
        self.arms: dict[str, int] = {}
        self._newest: dict[int, int] = {}
        self._learned: dict[int, int] = {}
        self._topics, self._routes = topics, routes
        self._reward, self._control = decoder(Reward), decoder(ControlMessage)

    def take(self, topic: str, records: Iterable[Any], now_ms: float) -> None:
        """Note what arrived; labels from before ``from_ms`` belong to the warm-up."""
        if topic == self._topics.learning_changelog:
            self._learn(records)
            return
        is_reward = topic == self._topics.rewards
        for record in records:
            if is_reward:
                self.rewards += 1
                self._newest[record.partition] = record.offset
                reward = self._reward(record.value)
                at_ms, route, kind = float(reward.attributed_at_ms), reward.route, "reward"
            else:
                message = self._control(record.value)
                self.arms[message.route] = len(message.weights)
                if message.kind == "heartbeat":
                    continue
                at_ms, route, kind = float(message.issued_at_ms), message.route, "control message"
            if at_ms >= self.from_ms and route.startswith(self._routes):
                self.found[kind].append(now_ms - at_ms)

    @property
    def are_learned(self) -> bool:
        """Whether all rewards that came have been learned from."""
        return all(self._learned.get(at, 0) > offset for at, offset in self._newest.items())

    @property
    def progress(self) -> int:
        """Grows with every reward and with what was learned; heartbeats do not count."""
        return self.rewards + sum(self._learned.values())

    def _learn(self, records: Iterable[Any]) -> None:
        for record in records:
            if record.key == POSITIONS_KEY and record.value is not None:
                found = msgspec.msgpack.decode(record.value, type=Positions)
                self._learned[record.partition] = found.offsets.get(self._topics.rewards, 0)

    async def follow(self, consumer: Any) -> None:
        """Take what comes until cancelled."""
        while True:
            fetched = await consumer.getmany(timeout_ms=100)
            now_ms = time.time() * 1000
            for tp, records in fetched.items():
                self.take(tp.topic, records, now_ms)
