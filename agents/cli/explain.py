"""``leverframe explain``."""

from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.times import TIME

__all__ = ["explain", "recorded"]


@click.command(
    epilog=examples(
        "leverframe explain checkout",
        "leverframe explain checkout --at 2026-05-04T14:02:07 --last 3",
        "leverframe explain checkout --at 14:02:07",
    )
)
@click.argument("route")
@click.option(
    "--at",
    "until_ms",
    type=TIME,
    help="Why they were so then: ISO time (UTC unless it says), a time of today, or ms.",
)
@click.option("--last", type=click.IntRange(1), default=1, show_default=True, help="Changes.")
@config_option
@json_option
def explain(
    route: str, until_ms: int | None, last: int, config: Path | None, *, as_json: bool
) -> None:
    """Say why the weights of ROUTE are what they are, from the recorded causes.

    The control topic is compacted: Kafka keeps the newest message of a route for ever, and those
    before it for about a day. What is older can be recomputed: leverframe replay ROUTE --until MS.
    """
    from leverframe.agents.operator.explain import explain as explained
    from leverframe.agents.operator.explain import sentences
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.codec import encode
    from leverframe.schemas.errors import LeverframeError

    settings = load_settings(config)
    messages = run_connected(
        settings,
        [settings.topic_names.control],
        lambda: recorded(settings, route, until_ms, last),
        counted=True,
    )
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


async def recorded(settings: Any, route: str, until_ms: int | None, last: int) -> list[Any]:
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
