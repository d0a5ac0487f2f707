"""Follows the ``control`` topic inside a serving system; imports neither Faust nor numpy.

Usage::

    async with Subscriber(servers, control="control", replica="web-1") as routing:
        assigned = routing.assign("checkout", request_id)  # arm, propensity, message

``ThreadSubscriber`` is the same for servers without an event loop.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Self, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import ControlError
from leverframe.schemas.signing import KafkaRecord
from leverframe.serving.acks import Acknowledger
from leverframe.serving.forked import note_started
from leverframe.serving.patches import outlive_brokers, read_any_record
from leverframe.serving.routing import Assignment, InForce, RoutingTable
from leverframe.serving.shadows import Budget
from leverframe.serving.silence import Deadlines
from leverframe.serving.tasks import dead_task, end_task

__all__ = ["Subscriber", "ThreadSubscriber"]

log = logging.getLogger(__name__)

# A whole topic at once would need its memory several times over.
_RECORDS_AT_ONCE: Final = 500
# With thousands of routes heartbeats come by the thousand; whoever shares the loop has its turn.
_RECORDS_A_TURN: Final = 32
_ROUTES_A_TURN: Final = 16
# A topic that is made anew has other partitions, of which the client hears when it asks again;
# aiokafka asks every 5 minutes.
_METADATA_AGE_MS: Final = 3_000
_RETRY_S: Final = 1.0
# An outage is one line in so many seconds, not one for each try.
_COMPLAIN_EVERY_S: Final = 10.0

Callback = Callable[[ControlMessage], None]
Told = TypeVar("Told")


class Subscriber:
    """Asyncio form.

    It follows for as long as it lives. A record that cannot be used is left out and counted in
    ``refused``; an error of the broker or of the client is waited out and counted in
    ``interrupted``; a topic that was made anew is read again from its start and counted in
    ``reread``. What is in force stays so meanwhile, until a higher message comes or ``ttl_ms`` has
    passed.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    control : str
        Full topic names; no acknowledgements when ``acks`` is left out.
    acks : str
        As for ``control``.
    replica : str
        Name of this serving process.
    key : bytes or sequence of bytes, optional
        If given, messages that are not signed with it are refused. Give both keys while one is
        replaced by another: first to every subscriber, then to the job.
    on_routing : callable, optional
        Called with each message that comes into force; ``on_rollback`` only with rollbacks, first.
    on_rollback : callable, optional
        As for ``on_routing``.
    on_weights : callable, optional
        Called with what holds for a route when its weights change, also to the safe ones and back.
    shadows_per_s : float, optional
        Most answers that ``shadows`` asks for in a second; no limit when left out.
    options : mapping, optional
        More aiokafka options, such as security.
    """

    def __init__(  # noqa: PLR0913 - each is independent of the others
        self,
        servers: str,
        *,
        control: str = "control",
        acks: str | None = None,
        replica: str = "replica",
        key: bytes | Sequence[bytes] | None = None,
        on_routing: Callback | None = None,
        on_rollback: Callback | None = None,
        on_weights: Callable[[InForce], None] | None = None,
        shadows_per_s: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._servers = servers
        self._control = control
        self._acks = acks
        self._replica = replica
        self._on_routing = on_routing
        self._on_rollback = on_rollback
        self._on_weights = on_weights
        self._held: dict[str, tuple[bool, Mapping[str, float]]] = {}
        self._heard: set[str] = set()
        self._deadlines = Deadlines()
        self._next: dict[Any, int] = {}
        self._read_again: set[Any] = set()
        self._complained_s = -_COMPLAIN_EVERY_S
        self.interrupted = 0
        self.reread = 0
        self._options = dict(options or {})
        self._task: asyncio.Task[None] | None = None
        self._acknowledger: Acknowledger | None = None
        self._ready = asyncio.Event()
        secrets = [key] if isinstance(key, bytes) else list(key or ())
        budget = None if shadows_per_s is None else Budget(shadows_per_s)
        self.table = RoutingTable(secrets, time.monotonic, budget)
        self.assign = self.table.assign
        self.shadows = self.table.shadows
        self.in_force = self.table.in_force
        self.is_forked = False

    async def __aenter__(self) -> Self:
        """Start, and wait until the topic was read to its end."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Read the topic from its start to its end, then follow it.

        Raises
        ------
        KafkaError
            If the broker or the topic is not there at the start; later outages are waited out.
        """
        outlive_brokers()
        read_any_record()
        consumer = await self._connected()
        if self._acks is not None:
            self._acknowledger = Acknowledger(
                self._servers, self._acks, self._replica, self._options
            )
            self._acknowledger.start()
        self._task = asyncio.create_task(self._follow(consumer), name="control-subscriber")
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()
        note_started(self)

    async def stop(self) -> None:
        """Stop following; what is in force stays readable."""
        if self._task is not None:
            await end_task(self._task)
        if self._acknowledger is not None:
            await self._acknowledger.stop()

    @property
    def is_healthy(self) -> bool:
        """Whether the topic is being followed and no known route has fallen back."""
        following = self._task is not None and not self._task.done() and self._ready.is_set()
        following = following and not self.is_forked
        states = [self.in_force(route) for route in self.table.routes]
        return following and not any(state.is_fallback for state in states if state is not None)

    @property
    def refused(self) -> int:
        """Records that could not be used: unreadable, unsigned, forged."""
        return self.table.refused

    async def _connected(self) -> Any:
        options: dict[str, Any] = {"metadata_max_age_ms": _METADATA_AGE_MS, **self._options}
        consumer = AIOKafkaConsumer(
            self._control,
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            **options,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _follow(self, consumer: Any) -> None:
        """Follow for ever: where one consumer cannot go on, another begins."""
        while True:
            try:
                await self._read(consumer)
            except Exception as error:
                if not self._ready.is_set():
                    raise  # whoever starts is told
                await self._complain(error)
            consumer = await self._connected_again()

    async def _connected_again(self) -> Any:
        self._next.clear()
        while True:
            try:
                return await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over soon
                await self._look()
                await self._complain(error)

    async def _read(self, consumer: Any) -> None:
        try:
            tps = list(consumer.assignment())
            ends = await consumer.end_offsets(tps)
            while True:
                fetched = await self._fetch(consumer)
                for tp, records in fetched.items():
                    self._note_place(tp, records)
                    for at, record in enumerate(records, 1):
                        if record.value is not None:
                            self._take(record)
                        if at % _RECORDS_A_TURN == 0:
                            await asyncio.sleep(0)
                await self._look()
                if not self._ready.is_set() and all(
                    [await consumer.position(tp) >= ends[tp] for tp in tps]
                ):
                    self._ready.set()
        finally:
            await consumer.stop()

    async def _fetch(self, consumer: Any) -> Mapping[Any, Any]:
        ended = dead_task(consumer)
        if ended is not None:
            raise RuntimeError(ended)
        fetching = consumer.getmany(timeout_ms=200, max_records=_RECORDS_AT_ONCE)
        try:
            fetched: Mapping[Any, Any] = await fetching
        except KafkaError as error:
            await self._complain(error)
            return {}
        return fetched

    async def _complain(self, error: Exception) -> None:
        """Count what keeps us from reading, write of it now and then, and wait a little."""
        self.interrupted += 1
        if time.monotonic() - self._complained_s >= _COMPLAIN_EVERY_S:
            self._complained_s = time.monotonic()
            log.warning(
                "control topic: %r; trying again", error, extra={"event": "control_unreadable"}
            )
        await asyncio.sleep(_RETRY_S)

    def _note_place(self, tp: Any, records: Sequence[Any]) -> None:
        """Notice that a partition begins anew: somebody has made the topic again."""
        if not records:
            return
        if records[0].offset < self._next.get(tp, 0):
            if not self._read_again or tp in self._read_again:
                self._read_again.clear()
                self.reread += 1
                log.warning(
                    "%s was made anew: it is read again from its start, and what is in force "
                    "stays until a higher message comes",
                    self._control,
                    extra={"event": "control_made_anew"},
                )
            self._read_again.add(tp)
        self._next[tp] = records[-1].offset + 1

    def _take(self, record: KafkaRecord) -> None:
        try:
            message = self.table.offer(record)
        except ControlError as error:
            log.warning("%s", error, extra={"event": "control_refused"})
            return
        except Exception:
            # Whatever a record can do to us: the next one may be the rollback.
            self.table.refused += 1
            log.exception("a control record is left out", extra={"event": "control_refused"})
            return
        if message is None:
            return
        self._heard.add(message.route)
        if message.kind == "rollback" and self._on_rollback is not None:
            _call(self._on_rollback, message, f"{message.route} rollback")
        if self._on_routing is not None:
            _call(self._on_routing, message, f"{message.route} {message.kind}")
        if self._acknowledger is not None:
            self._acknowledger.put(message)

    async def _look(self) -> None:
        """Notice changed weights; the safe ones come by silence, which no message announces.

        When the job ends all routes fall silent at once: requests are answered in between.
        """
        heard = [*self._heard]
        self._heard.clear()
        due = self._deadlines.due(time.monotonic())
        for at, route in enumerate(chain(heard, due), 1):
            self._look_at(route)
            if at % _ROUTES_A_TURN == 0:
                await asyncio.sleep(0)

    def _look_at(self, route: str) -> None:
        state, before = self.in_force(route), self._held.get(route)
        if state is None:
            return
        if not state.is_fallback:
            self._deadlines.note(route, self.table.silent_from_s(route))
        if before == (state.is_fallback, state.weights):
            return
        self._held[route] = (state.is_fallback, state.weights)
        if state.is_fallback:
            silent_s = state.message.ttl_ms / 1000
            told = {"event": "safe_weights", "route": route, "silent_s": silent_s}
            text = "%s: silent for %g s, safe weights %s"
            log.warning(text, route, silent_s, state.weights, extra=told)
        elif before is not None and before[0]:
            told = {"event": "heard_again", "route": route}
            log.warning("%s: heard again, weights %s", route, state.weights, extra=told)
        if self._on_weights is not None:
            _call(self._on_weights, state, f"{route} weights")


def _call(callback: Callable[[Told], None], told: Told, what: str) -> None:
    """Run a user's callback; its mistake must not end the following."""
    try:
        callback(told)
    except Exception:
        log.exception("the callback for %s failed", what, extra={"event": "callback_failed"})


class ThreadSubscriber:
    """Plain-thread form, for servers without an event loop.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    **options : object
        As for ``Subscriber``.
    """

    def __init__(self, servers: str, **options: Any) -> None:
        self._servers = servers
        self._options = options
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriber: Subscriber | None = None
        self._error: BaseException | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="control-subscriber", daemon=True)

    def start(self, timeout_s: float = 30.0) -> None:
        """Start, and wait until the topic was read to its end.

        Parameters
        ----------
        timeout_s : float
            Longest wait, seconds.

        Raises
        ------
        TimeoutError
            If the topic was not read in time.
        """
        self._thread.start()
        if not self._started.wait(timeout_s):
            raise TimeoutError(f"the control topic was not read within {timeout_s:.0f} s")
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop and wait for the thread."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # after a failed start the loop is closed
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def assign(self, route: str, unit_id: str) -> Assignment | None:
        """Choose the arm for a unit; see ``RoutingTable.assign``."""
        return None if self._subscriber is None else self._subscriber.assign(route, unit_id)

    def shadows(self, route: str, request_id: str, served: str | None = None) -> list[str]:
        """Return the arms that are to answer too; see ``RoutingTable.shadows``."""
        subscriber = self._subscriber
        return [] if subscriber is None else subscriber.shadows(route, request_id, served)

    def in_force(self, route: str) -> InForce | None:
        """Return what holds for a route; see ``RoutingTable.in_force``."""
        return None if self._subscriber is None else self._subscriber.in_force(route)

    @property
    def is_healthy(self) -> bool:
        """As for ``Subscriber``."""
        return self._subscriber is not None and self._subscriber.is_healthy

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        subscriber = Subscriber(self._servers, **self._options)
        try:
            await subscriber.start()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._error = error
            self._started.set()
            return
        self._subscriber = subscriber
        self._started.set()
        await self._stopping.wait()
        await subscriber.stop()
