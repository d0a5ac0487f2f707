"""Writes predictions and labels; what is told as written is on all in-sync replicas of Kafka."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from leverframe.agents.gateway.answers import Answer, problem
from leverframe.agents.gateway.feedback import Refused, Written
from leverframe.serving.patches import outlive_brokers
from leverframe.streams.runtime.logger import make_logger

__all__ = ["Writer"]

log = make_logger(__name__)

_RETRY_S: Final = 1
# Keys, headers and bookkeeping of a record that waits.
_RECORD_BYTES: Final = 200


class Writer:
    """One idempotent producer, and a bound on what waits in it.

    A record is written with ``acks=all``. Where Kafka does not confirm in time the caller is told
    so and sends again: a record that was written after all is a duplicate then, which the job
    counts once.

    Parameters
    ----------
    options : mapping
        Of aiokafka: servers and security.
    most_bytes : int
        That may wait for Kafka at once.
    timeout_s : float
        Longest wait for Kafka's confirmation.
    """

    def __init__(self, options: Mapping[str, Any], most_bytes: int, timeout_s: float) -> None:
        self._options = options
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s
        self._producer: Any = None
        self._mending: asyncio.Task[None] | None = None
        self.waiting_bytes = 0

    async def start(self) -> None:
        """Connect."""
        outlive_brokers()
        self._producer = await self._connected()

    async def stop(self) -> None:
        """Write what waits, then disconnect."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        if self._producer is not None:
            try:
                await asyncio.wait_for(self._producer.stop(), self._timeout_s)
            except TimeoutError:
                told = "what waits for Kafka is given up; nobody was told 202"
                log.warning("gateway_producer_ended", message=told)

    async def write(
        self, topic: str, records: Sequence[Written], traced: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Write records, and return once all of them are durable; ``traced`` are their headers.

        Raises ``Refused``: where too much waits already, or Kafka does not confirm.
        """
        producer = self._producer
        if producer is None:
            raise Refused(_unavailable("the connection to Kafka is being made anew"))
        size = sum(len(record.value) + _RECORD_BYTES for record in records)
        if self.waiting_bytes and self.waiting_bytes + size > self._most_bytes:
            raise Refused(_too_much(self.waiting_bytes))
        self.waiting_bytes += size
        writing = asyncio.ensure_future(_write(producer, topic, records, traced))
        writing.add_done_callback(self._release(size))
        # What was handed over goes on beyond our patience: it counts as waiting until it is done.
        done, _ = await asyncio.wait([writing], timeout=self._timeout_s)
        if not done:
            raise Refused(_unavailable(f"Kafka did not confirm within {self._timeout_s:g} s"))
        error = writing.exception()
        if error is not None:
            self._mend(producer, error)
            raise Refused(_unavailable(f"Kafka did not take it: {error!r:.200}"))

    def _release(self, size: int) -> Callable[[asyncio.Future[None]], None]:
        def release(writing: asyncio.Future[None]) -> None:
            self.waiting_bytes -= size
            if not writing.cancelled():
                writing.exception()

        return release

    def _mend(self, producer: Any, error: BaseException) -> None:
        """Replace a producer that can write nothing any more, such as a fenced one."""
        ended = producer._sender.sender_task  # noqa: SLF001 - nothing public tells of it
        is_dead = ended is not None and ended.done()
        is_dead = is_dead or producer._txn_manager.is_fatal_error()  # noqa: SLF001 - likewise
        if is_dead and self._producer is producer:
            log.error("gateway_producer_ended", message=f"a producer has ended: {error!r}")
            self._producer = None
            self._mending = asyncio.create_task(self._replace(producer))

    async def _replace(self, producer: Any) -> None:
        try:
            await asyncio.wait_for(producer.stop(), self._timeout_s)
        except Exception as error:  # noqa: BLE001 - it was broken before
            log.warning("gateway_producer_ended", message=f"it does not stop: {error!r}")
        while self._producer is None:
            try:
                self._producer = await self._connected()
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be over soon
                log.warning("gateway_producer_ended", message=f"no other can be made: {error!r}")
                await asyncio.sleep(_RETRY_S)

    async def _connected(self) -> Any:
        producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=256 << 10,
            max_request_size=1 << 20,
            **self._options,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer


async def _write(
    producer: Any, topic: str, records: Sequence[Written], traced: Sequence[tuple[str, bytes]]
) -> None:
    headers = list(traced) or None
    written = [
        await producer.send(topic, value, key=key, headers=headers) for key, value in records
    ]
    for error in await asyncio.gather(*written, return_exceptions=True):
        if isinstance(error, BaseException):
            raise error


def _too_much(waiting_bytes: int) -> Answer:
    return problem(
        429,
        "more comes than Kafka takes",
        f"{waiting_bytes} bytes wait for Kafka's confirmation; nothing of this request was taken",
        "send it again later; where this lasts: more replicas of the gateway, or partitions",
        retry_s=_RETRY_S,
    )


def _unavailable(why: str) -> Answer:
    return problem(
        503,
        "not known to be durable",
        f"{why}; some of it may be written all the same",
        "send all of it again: what was written already counts once",
        retry_s=_RETRY_S,
    )
