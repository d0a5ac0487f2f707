"""Acknowledges control messages, beside the following, which must never wait for it."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlAck, ControlMessage
from leverframe.serving.tasks import end_task

__all__ = ["Acknowledger", "weights_digest"]

log = logging.getLogger(__name__)

_PACE_S: Final = 0.2
_RETRY_S: Final = 1.0
_HEARTBEAT_S: Final = 60.0


def weights_digest(weights: Mapping[str, float]) -> str:
    """Return a digest of weights, for acknowledgements.

    Parameters
    ----------
    weights : mapping of str to float
        As in a control message.

    Returns
    -------
    str
        16 hex digits; the same for any order of the arms.
    """
    text = "\n".join(f"{arm}={weights[arm]!r}" for arm in sorted(weights))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Acknowledger:
    """Sends acknowledgements in a task of its own.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    topic : str
        Full name of ``control-acks``.
    replica : str
        Name of this serving process.
    options : mapping
        More aiokafka options, such as security.
    """

    def __init__(self, servers: str, topic: str, replica: str, options: Mapping[str, Any]) -> None:
        self._servers = servers
        self._topic = topic
        self._replica = replica
        self._options = dict(options)
        # What is not acknowledged in time is stale anyway: a route's newest message is enough.
        self._waiting: dict[str, ControlMessage] = {}
        self._heartbeat_s: dict[str, float] = {}
        self._due = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send what is put."""
        self._task = asyncio.create_task(self._run(), name="control-acks")

    async def stop(self) -> None:
        """End; what still waits is not sent."""
        if self._task is not None:
            await end_task(self._task)

    async def drain(self, timeout_s: float) -> None:
        """Wait until all that was put is sent, or the time is over.

        Parameters
        ----------
        timeout_s : float
            Longest wait, seconds.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)

    def put(self, message: ControlMessage) -> None:
        """Note that a message is applied; returns at once.

        Somebody waits for a rollback, a promotion or the answer to a command, so these are
        acknowledged without delay; others a few times a second, heartbeats once a minute.

        Parameters
        ----------
        message : ControlMessage
            In force in this process now.
        """
        now_s = time.monotonic()
        if message.kind == "heartbeat":
            if now_s - self._heartbeat_s.get(message.route, -_HEARTBEAT_S) < _HEARTBEAT_S:
                return
        elif message.kind != "routing" or "command_id" in message.cause:
            self._urgent.set()
        self._heartbeat_s[message.route] = now_s
        self._waiting[message.route] = message
        self._idle.clear()
        self._due.set()

    async def _run(self) -> None:
        producer: Any = None
        try:
            while True:
                await self._due.wait()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), _PACE_S)
                self._due.clear()
                self._urgent.clear()
                messages, self._waiting = self._waiting, {}
                try:
                    if producer is None:
                        producer = await self._connected()
                    for message in messages.values():
                        value = encode(self._ack(message))
                        await producer.send(self._topic, value, key=message.route.encode())
                    await producer.flush()
                    if not self._waiting:
                        self._idle.set()
                except Exception as error:  # noqa: BLE001 - whatever it is, it may be over soon
                    log.warning(
                        "cannot acknowledge on %s: %r",
                        self._topic,
                        error,
                        extra={"event": "acknowledging_failed"},
                    )
                    self._waiting = {**messages, **self._waiting}
                    self._due.set()
                    await asyncio.sleep(_RETRY_S)
        finally:
            if producer is not None:
                await producer.stop()

    async def _connected(self) -> Any:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, **self._options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _ack(self, message: ControlMessage) -> ControlAck:
        return ControlAck(
            route=message.route,
            replica=self._replica,
            epoch=message.epoch,
            seq=message.seq,
            applied_at_ms=time.time_ns() // 1_000_000,
            weights_digest=weights_digest(message.weights),
        )
