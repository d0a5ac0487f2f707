"""Applies settings to routes of a running job: sends commands, and waits for each to hold."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import structs

from leverframe.agents.operator.actors import secret_of
from leverframe.agents.operator.topics import read_to_end, unreadable
from leverframe.agents.settings import Settings
from leverframe.agents.worker.route_settings import read_applied
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.dead_letter import HEADER_PREFIX
from leverframe.schemas.errors import ControlError, LeverframeError, RecordError
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.schemas.signing import SIGNATURE_HEADER, signature_of
from leverframe.streams.routes.applied import decode_applied, stored_form, written_out
from leverframe.streams.routes.settings import RouteSettings
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import client_options

__all__ = ["applied_routes", "apply_routes", "settings_in_force"]

_LOOK_MS: Final = 200


async def applied_routes(settings: Settings) -> dict[str, AppliedSettings]:
    """Read what was applied to each route; what is forged or unreadable is passed over."""
    topic = settings.topic_names.route_settings
    partitions = [
        TopicPartition(topic, partition) for partition in range(settings.topics.route_partitions)
    ]
    found: dict[str, AppliedSettings] = {}
    for record in await read_to_end(settings.broker, partitions):
        try:
            applied = read_applied(record, settings.control_keys)
        except (ControlError, RecordError):
            continue
        if applied is not None:
            found[applied.route] = applied
    return found


async def settings_in_force(settings: Settings) -> Settings:
    """Return the settings with what was applied to routes in place of what the file says."""
    applied = {
        route: decode_applied(stored_form(told))
        for route, told in (await applied_routes(settings)).items()
        if told.settings is not None
    }
    return structs.replace(settings, routes={**settings.routes, **applied})


async def apply_routes(
    settings: Settings,
    wanted: Mapping[str, RouteSettings | None],
    *,
    actor: str,
    timeout_s: float,
) -> AsyncIterator[tuple[str, str | None]]:
    """Apply settings, or take them back (None); yield each route as it is answered.

    With None where they hold from now on, else with why the job refused them. Raises
    ``LeverframeError`` where some were not answered in ``timeout_s``.
    """
    topics = settings.topic_names
    secret = secret_of(actor, settings.actors)
    commands = [_command(route, one, actor) for route, one in wanted.items()]
    waiting = {command.command_id: command.route for command in commands}
    try:
        async with open_consumer(
            settings.broker,
            topics.route_settings,
            topics.dead_letters,
            auto_offset_reset="latest",
            fetch_max_wait_ms=50,
        ) as consumer:
            await consumer.seek_to_end()
            for tp in consumer.assignment():
                await consumer.position(tp)
            await _send(settings, commands, secret)
            deadline_s = time.monotonic() + timeout_s
            while waiting and time.monotonic() < deadline_s:
                fetched = await consumer.getmany(timeout_ms=_LOOK_MS)
                for records in fetched.values():
                    for record in records:
                        answer = _answer(record, settings)
                        if answer is not None and answer[0] in waiting:
                            yield waiting.pop(answer[0]), answer[1]
    except (KafkaError, OSError) as error:
        raise unreadable(topics.route_settings, settings.broker.servers, error) from error
    if waiting:
        raise LeverframeError(
            f"no answer within {timeout_s:.0f} s for {', '.join(sorted(waiting.values()))}; the "
            f"command stays in {topics.commands} and is done when a worker runs: leverframe worker"
        )


def _command(route: str, settings: RouteSettings | None, actor: str) -> Command:
    return Command(
        command_id=uuid.uuid4().hex,
        route=route,
        action="configure",
        params={"settings": None if settings is None else written_out(settings)},
        actor=actor,
        issued_at_ms=time.time_ns() // 1_000_000,
    )


async def _send(settings: Settings, commands: list[Command], secret: bytes | None) -> None:
    topic = settings.topic_names.commands
    producer = AIOKafkaProducer(**client_options(settings.broker))
    await producer.start()
    try:
        for command in commands:
            key, value = command.route.encode(), encode(command)
            headers = []
            if secret is not None:
                headers.append((SIGNATURE_HEADER, signature_of(topic, key, value, secret)))
            await producer.send_and_wait(topic, value, key=key, headers=headers)
    finally:
        await producer.stop()


def _answer(record: Any, settings: Settings) -> tuple[str, str | None] | None:
    """Return a command's id, and why it was refused, of a record that answers one."""
    if record.topic == settings.topic_names.route_settings:
        try:
            applied = read_applied(record, settings.control_keys)
        except (ControlError, RecordError):
            return None
        return None if applied is None else (applied.command_id, None)
    try:
        letter = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(letter, dict) or not isinstance(letter.get("command_id"), str):
        return None
    headers = {name.removeprefix(HEADER_PREFIX): value for name, value in record.headers}
    reason, detail = (headers.get(name, b"").decode() for name in ("reason", "detail"))
    return letter["command_id"], f"{reason}: {detail}"
