"""What a live run can see of the worker: its topics, followed and read committed.

The ledger's changelogs say when the worker has taken something in, so that nobody has to guess by
the clock; the ``control`` topic says which weights are in force.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings
from leverframe.experiments.live.view import View, place_of
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.schemas.reward import Reward
from leverframe.serving.patches import read_any_record
from leverframe.streams.learning.state import decode_route
from leverframe.streams.runtime.kafka import client_options

__all__ = ["Follower"]

_PATIENCE_S: Final = 180.0


class Follower:
    """Follows the topics of one application and keeps a view of each route.

    Parameters
    ----------
    settings : Settings
        Of the application.
    routes : iterable of str
        To follow.
    check : callable
        Raises when the worker is gone.
    """

    def __init__(
        self, settings: Settings, routes: Iterable[str], check: Callable[[], None]
    ) -> None:
        self.views = {name: View() for name in routes}
        self._settings, self._check = settings, check
        self._subscriber = subscriber(settings, on_routing=self._on_routing)
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start from the beginning of the topics."""
        names = self._settings.topic_names
        self._take = {
            names.rewards: self._take_reward,
            names.attribution_changelog: self._take_entry,
            names.learning_changelog: self._take_state,
        }
        read_any_record()
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings.broker),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._subscriber.stop()
        await self._consumer.stop()

    async def _start(self) -> None:
        names, counts = self._settings.topic_names, self._settings.topics
        of = {names.attribution_changelog: counts.partitions}
        await self._consumer.start()
        self._consumer.assign(
            [
                TopicPartition(name, partition)
                for name in self._take
                for partition in range(of.get(name, counts.route_partitions))
            ]
        )
        self._task = asyncio.create_task(self._follow(), name="live-follower")
        await self._subscriber.start()

    async def until(self, route: str, condition: Callable[[View], bool], what: str) -> View:
        """Wait until something is true of a route.

        Raises ``LeverframeError`` if nothing at all was heard of the route for a minute.
        """
        view = self.views[route]
        deadline = time.monotonic() + _PATIENCE_S
        while not condition(view):
            view.changed.clear()
            try:
                await asyncio.wait_for(view.changed.wait(), 1.0)
                deadline = time.monotonic() + _PATIENCE_S
            except TimeoutError:
                self._check()
                if self._task is not None and self._task.done():
                    self._task.result()
                if time.monotonic() > deadline:
                    raise LeverframeError(
                        f"{route}: waited {_PATIENCE_S:.0f} s in vain for {what}; is the broker "
                        "overloaded? Try again with fewer --strategies"
                    ) from None
        return view

    async def _follow(self) -> None:
        while True:
            for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                take = self._take[tp.topic]
                for record in records:
                    take(record)

    def _on_routing(self, message: ControlMessage) -> None:
        view = self.views.get(message.route)
        if view is not None:
            view.message = message
            view.decisions += message.cause.get("why") in {"policy", "guard", "better", "probation"}
            view.changed.set()

    def _take_reward(self, record: Any) -> None:
        route, place = place_of(decode(Reward, record.value).request_id)
        self.views[route].counted.append(place)
        self.views[route].changed.set()

    def _take_entry(self, record: Any) -> None:
        if record.value is not None and record.key[0]:  # keys that begin with NUL are positions
            route, place = place_of(record.key.decode())
            self.views[route].held.add(place)
            self.views[route].changed.set()

    def _take_state(self, record: Any) -> None:
        if record.value is not None and record.key[0]:
            state = decode_route(record.value)
            self.views[state.route].state = state
            self.views[state.route].changed.set()
