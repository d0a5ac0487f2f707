"""``leverframe explain``."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["explain"]


@click.command(
    epilog=examples(
        "leverframe explain checkout",
        "leverframe explain checkout --at 2026-05-04T14:02:07 --last 3",
    )
)
@click.argument("route")
@click.option("--at", help="Why they were so then: ISO time (UTC unless it says), or ms.")
@click.option("--last", type=click.IntRange(1), default=1, show_default=True, help="Changes.")
@config_option
@json_option
def explain(route: str, at: str | None, last: int, config: Path | None, *, as_json: bool) -> None:
    """Say why the weights of ROUTE are what they are, from the recorded causes.

    The control topic is compacted: Kafka keeps the newest message of a route for ever, and those
    before it for about a day. What is older can be recomputed: leverframe replay ROUTE --until MS.
    """
    from leverframe.agents.operator.explain import explain as explained
    from leverframe.agents.operator.explain import sentences
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.codec import encode
    from leverframe.schemas.errors import LeverframeError

    until_ms = None if at is None else _time_ms(at)
    messages = asyncio.run(_recorded(load_settings(config), route, until_ms, last))
    if not messages:
        raise LeverframeError(
            f"nothing of route {route!r} is kept{'' if until_ms is None else ' up to then'}; "
            "routes that are known: leverframe status"
        )
    changes = explained(messages, until_ms, last)
    if not changes:
        oldest = min(message.issued_at_ms for message in messages)
        raise LeverframeError(
            f"no change of {route!r} up to then is kept (the oldest message is of {oldest} ms); "
            f"to recompute: leverframe replay {route} --until MS"
        )
    if as_json:
        # The message as it was published, with what it changed beside it.
        told = (
            f'{{"moved":{_json(change.moved)},"message":{encode(change.message).decode()}}}'
            for change in changes
        )
        click.echo(printable(f"[{','.join(told)}]"))
        return
    for change in changes:
        click.echo(printable("\n".join(sentences(change))))


def _json(value: object) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _time_ms(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no time; for example 2026-05-04T14:02:07", param_hint="--at"
        ) from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # To the end of the second that was named.
    return round(at.timestamp() * 1000) + (999 if not at.microsecond else 0)


async def _recorded(settings: Any, route: str, until_ms: int | None, last: int) -> list[Any]:
    """Messages of a route, signed as they must be: the wanted changes and the one before them."""
    from aiokafka import TopicPartition

    from leverframe.agents.operator.topics import read_back
    from leverframe.schemas.signing import read_control
    from leverframe.streams.runtime.kafka import partition_of

    key = route.encode()
    partition = partition_of(key, settings.topics.route_partitions)
    messages: list[Any] = []

    def is_own(record: Any) -> bool:
        return record.value is not None and bool(record.key == key)

    def is_enough(records: list[Any]) -> bool:
        # By the time of issue, which is stream time: a record may have been written much later.
        read = [read_control(record, settings.control_keys) for record in records]
        messages[:0] = [message for message in read if message is not None]
        changes = [message for message in messages if message.kind != "heartbeat"]
        found: int = sum(until_ms is None or one.issued_at_ms <= until_ms for one in changes)
        return found > last

    where = TopicPartition(settings.topic_names.control, partition)
    await read_back(settings.broker, where, is_own, is_enough)
    return messages
