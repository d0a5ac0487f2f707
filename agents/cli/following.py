"""What the commands share that read or await control messages."""

import asyncio
import time
import uuid
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.settings import Settings
from schemas.codec import decode, encode
from schemas.command import Action, Command
from schemas.control import ControlMessage
from schemas.dead_letter import HEADER_PREFIX
from schemas.errors import BrokerError, LeverframeError
from serving.subscriber import Subscriber
from streams.runtime.kafka import client_options

__all__ = ["ask", "newest_messages", "subscriber"]


def subscriber(settings: Settings, **options: Any) -> Subscriber:
    """Return a subscriber of the settings' control topic.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    **options : object
        As for ``Subscriber``.

    Returns
    -------
    Subscriber
        Not yet started.
    """
    kafka = dict(client_options(settings.broker))
    return Subscriber(
        kafka.pop("bootstrap_servers"),
        control=settings.topic_names.control,
        key=settings.control_key,
        options=kafka,
        **options,
    )


async def newest_messages(settings: Settings) -> dict[str, ControlMessage]:
    """Read the control topic to its end.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.

    Returns
    -------
    dict of str to ControlMessage
        The newest message of each route, sorted by route.

    Raises
    ------
    BrokerError
        If no broker answers or the topic is missing.
    """
    try:
        async with subscriber(settings) as routing:
            states = {name: routing.in_force(name) for name in sorted(routing.table.routes)}
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"cannot read {settings.topic_names.control} at {settings.broker.servers}: {error!r}. "
            "Set LEVERFRAME_BROKER, or: leverframe topics create"
        ) from error
    return {name: state.message for name, state in states.items() if state is not None}


async def ask(
    settings: Settings,
    route: str,
    action: Action,
    *,
    arm: str | None,
    params: dict[str, Any] | None,
    actor: str,
    timeout_s: float,
) -> ControlMessage:
    """Send a command and wait for its answer.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    route
        Of the command.
    action
        As for ``route``.
    arm
        As for ``route``.
    params
        As for ``route``.
    actor
        As for ``route``.
    timeout_s : float
        Longest wait, seconds.

    Returns
    -------
    ControlMessage
        The one that carries the command's id.

    Raises
    ------
    LeverframeError
        If the job refused the command, or did not answer in time.
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
    options = client_options(settings.broker)
    consumer = AIOKafkaConsumer(
        topics.control,
        topics.dead_letters,
        **options,
        auto_offset_reset="latest",
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"cannot follow {topics.control} at {settings.broker.servers}: {error!r}. "
            "Set LEVERFRAME_BROKER, or: leverframe topics create"
        ) from error
    try:
        await consumer.seek_to_end()
        for tp in consumer.assignment():
            await consumer.position(tp)
        producer = AIOKafkaProducer(**options)
        await producer.start()
        try:
            await producer.send_and_wait(topics.commands, encode(command), key=route.encode())
        finally:
            await producer.stop()
        return await asyncio.wait_for(_answer(consumer, command, topics.control), timeout_s)
    except TimeoutError as error:
        raise LeverframeError(
            f"no answer within {timeout_s:.0f} s; the command {command.command_id} stays in "
            f"{topics.commands} and is done when a worker runs: leverframe worker"
        ) from error
    finally:
        await consumer.stop()


async def _answer(consumer: Any, command: Command, control: str) -> ControlMessage:
    while True:
        for tp, records in (await consumer.getmany(timeout_ms=200)).items():
            for record in records:
                if record.value is None or command.command_id.encode() not in record.value:
                    continue
                if tp.topic == control:
                    message = decode(ControlMessage, record.value)
                    if message.cause.get("command_id") == command.command_id:
                        return message
                elif orjson.loads(record.value).get("command_id") == command.command_id:
                    headers = {name.removeprefix(HEADER_PREFIX): v for name, v in record.headers}
                    raise LeverframeError(
                        f"{headers['reason'].decode()}: {headers['detail'].decode()}"
                    )
