"""Sends a command and waits for what becomes of it."""

import asyncio
import contextlib
import time
import uuid
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from leverframe.agents.operator.actors import secret_of
from leverframe.agents.operator.topics import unreadable
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.command import Action, Command
from leverframe.schemas.control import ControlAck, ControlMessage
from leverframe.schemas.dead_letter import HEADER_PREFIX
from leverframe.schemas.errors import BrokerError, LeverframeError, RecordError
from leverframe.schemas.signing import SIGNATURE_HEADER, read_control, signature_of
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import client_options

__all__ = ["Answer", "ask"]


class Answer(NamedTuple):
    """What became of a command.

    Attributes
    ----------
    message : ControlMessage
        The answer.
    behind : list of str
        Replicas heard lately that did not acknowledge it in time.
    applied_in_ms : int or None
        From the command's being sent to the last acknowledgement; None if there was none.
    """

    message: ControlMessage
    behind: list[str]
    applied_in_ms: int | None


async def ask(
    settings: Settings,
    route: str,
    action: Action,
    *,
    arm: str | None,
    params: dict[str, Any] | None,
    actor: str,
    timeout_s: float,
    acks_s: float = 0.0,
) -> Answer:
    """Send a command, wait for its answer, and for the replicas that apply it.

    The replicas are those heard lately; they are waited for after the answer, ``acks_s`` at most.
    Raises ``LeverframeError`` if the job refused the command, or gave no answer in ``timeout_s``.
    """
    command = Command(
        command_id=uuid.uuid4().hex,
        route=route,
        action=action,
        arm=arm,
        params=params,
        actor=actor,
        issued_at_ms=time.time_ns() // 1_000_000,
    )
    topics = settings.topic_names
    async with AsyncExitStack() as stack:
        try:
            consumer = await stack.enter_async_context(
                open_consumer(
                    settings.broker,
                    topics.control,
                    topics.dead_letters,
                    topics.control_acks,
                    auto_offset_reset="latest",
                    fetch_max_wait_ms=50,
                )
            )
        except (KafkaError, OSError) as error:
            raise unreadable(topics.control, settings.broker.servers, error) from error
        try:
            conversation = _Conversation(consumer, command, settings)
            return await conversation.hold(timeout_s, acks_s)
        except TimeoutError as error:
            raise LeverframeError(
                f"no answer within {timeout_s:.0f} s; the command {command.command_id} stays in "
                f"{topics.commands} and is done when a worker runs: leverframe worker"
            ) from error
        except KafkaError as error:
            raise BrokerError(
                f"cannot send to {topics.commands} at {settings.broker.servers}: {error!r}. "
                "Look at the broker, or: leverframe topics create"
            ) from error


class _Conversation:
    """A command's answer and acknowledgements, as they come."""

    def __init__(self, consumer: Any, command: Command, settings: Settings) -> None:
        self._consumer = consumer
        self._command = command
        self._broker = settings.broker
        self._topics = settings.topic_names
        self._keys = settings.control_keys
        self._secret = secret_of(command.actor, settings.actors)
        self._acks: dict[str, tuple[int, int, int]] = {}

    async def hold(self, timeout_s: float, acks_s: float) -> Answer:
        """Send the command once everything before it lies behind us, then listen."""
        await self._consumer.seek_to_end()
        for tp in self._consumer.assignment():
            await self._consumer.position(tp)
        await self._send()
        sent_ms = time.time_ns() // 1_000_000
        message = await asyncio.wait_for(self.answer(), timeout_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.acknowledged(message), acks_s)
        applied_ms = self.applied_ms(message)
        took_ms = None if applied_ms is None else max(0, applied_ms - sent_ms)
        return Answer(message, self.behind(message), took_ms)

    async def _send(self) -> None:
        key = self._command.route.encode()
        topic, value = self._topics.commands, encode(self._command)
        headers = []
        if self._secret is not None:
            headers.append((SIGNATURE_HEADER, signature_of(topic, key, value, self._secret)))
        producer = AIOKafkaProducer(**client_options(self._broker))
        await producer.start()
        try:
            await producer.send_and_wait(topic, value, key=key, headers=headers)
        finally:
            await producer.stop()

    async def answer(self) -> ControlMessage:
        answered: ControlMessage | None = None
        while answered is None:
            for tp, record in await self._records():
                if tp.topic == self._topics.control_acks:
                    self._note(record)
                elif self._command.command_id.encode() in (record.value or b""):
                    answered = self._answer_in(tp.topic, record) or answered
        return answered

    async def acknowledged(self, message: ControlMessage) -> None:
        while self.behind(message):
            for tp, record in await self._records():
                if tp.topic == self._topics.control_acks:
                    self._note(record)

    def behind(self, message: ControlMessage) -> list[str]:
        version = (message.epoch, message.seq)
        known: list[str] = message.cause.get("replicas", [])
        return [replica for replica in known if self._acks.get(replica, (-1, -1))[:2] < version]

    def applied_ms(self, message: ControlMessage) -> int | None:
        """Record time of the last acknowledgement of the message by a replica that it names."""
        version = (message.epoch, message.seq)
        known = set(message.cause.get("replicas", []))
        times = [ack[2] for name, ack in self._acks.items() if name in known and ack[:2] >= version]
        return max(times, default=None)

    async def _records(self) -> list[tuple[Any, Any]]:
        fetched = await self._consumer.getmany(timeout_ms=200)
        return [(tp, record) for tp, records in fetched.items() for record in records]

    def _note(self, record: Any) -> None:
        if record.key != self._command.route.encode() or record.value is None:
            return
        try:
            ack = decode(ControlAck, record.value)
        except RecordError:
            return  # the job sets it aside
        self._acks[ack.replica] = (ack.epoch, ack.seq, record.timestamp)

    def _answer_in(self, topic: str, record: Any) -> ControlMessage | None:
        if topic == self._topics.control:
            message = read_control(record, self._keys)
            if message is None or message.cause.get("command_id") != self._command.command_id:
                return None
            return message
        if not _is_of(record.value, self._command.command_id):
            return None
        headers = {name.removeprefix(HEADER_PREFIX): v for name, v in record.headers}
        raise LeverframeError(f"{headers['reason'].decode()}: {headers['detail'].decode()}")


def _is_of(value: bytes, command_id: str) -> bool:
    """Whether a dead letter holds this command; others' may hold anything."""
    try:
        letter = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(letter, dict) and letter.get("command_id") == command_id
