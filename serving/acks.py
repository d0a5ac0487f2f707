"""Acknowledges control messages, beside the following, which must never wait for it."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.codec import encode
from schemas.control import ControlAck, ControlMessage

__all__ = ["Acknowledger", "weights_digest"]

log = logging.getLogger(__name__)

_WAITING_ACKS: Final = 1000


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
        # What is not acknowledged in time is stale anyway: the oldest gives way.
        self._waiting: deque[ControlMessage] = deque(maxlen=_WAITING_ACKS)
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send what is put."""
        self._task = asyncio.create_task(self._run(), name="control-acks")

    async def stop(self) -> None:
        """End; what still waits is not sent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def put(self, message: ControlMessage) -> None:
        """Note that a message is applied; returns at once.

        Parameters
        ----------
        message : ControlMessage
            In force in this process now.
        """
        self._waiting.append(message)
        self._due.set()

    async def _run(self) -> None:
        producer: Any = None
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                try:
                    if producer is None:
                        producer = AIOKafkaProducer(
                            bootstrap_servers=self._servers, **self._options
                        )
                        await producer.start()
                    while self._waiting:
                        message = self._waiting.popleft()
                        value = encode(self._ack(message))
                        await producer.send_and_wait(self._topic, value, key=message.route.encode())
                except (KafkaError, OSError) as error:
                    log.warning("cannot acknowledge on %s: %r", self._topic, error)
        finally:
            if producer is not None:
                await producer.stop()

    def _ack(self, message: ControlMessage) -> ControlAck:
        return ControlAck(
            route=message.route,
            replica=self._replica,
            epoch=message.epoch,
            seq=message.seq,
            applied_at_ms=time.time_ns() // 1_000_000,
            weights_digest=weights_digest(message.weights),
        )
