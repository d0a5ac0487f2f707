"""``leverframe sources try|infer``."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["sources"]


@click.group(cls=GuessingGroup)
def sources() -> None:
    """Look at topics that exist already; nothing is written or committed."""


@sources.command(
    name="try",
    epilog=examples(
        "leverframe sources try clicks --config leverframe.toml",
        "leverframe sources try clicks --sample 100 --json",
    ),
)
@click.argument("name")
@click.option("--sample", type=click.IntRange(1, 10_000), default=20, show_default=True)
@config_option
@json_option
def try_(name: str, sample: int, config: Path | None, *, as_json: bool) -> None:
    """Show what the newest records of source NAME become: ours, the would-be reward, or the fault.

    The other half of a reward is looked for near the ends of the other sources and of our own
    topics. Exit code 1: a record has a fault.
    """
    from leverframe.agents.operator.sources import try_source
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    tried = _connected(settings, lambda found: try_source(settings, name, sample, found))
    counts = Counter(_outcome(one) for one in tried)
    if as_json:
        click.echo(_json([_as_json(one) for one in tried]))
    else:
        for one in tried:
            click.echo(printable("\n".join(_lines(one))))
        joined = sum(bool(one.rewards) for one in tried)
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
        click.echo(f"{len(tried)} records: {told}; {joined} would be rewarded now", err=True)
    if counts["faulty"]:
        raise SystemExit(1)


@sources.command(epilog=examples("leverframe sources infer shop.clicks"))
@click.argument("topic")
@click.option("--sample", type=click.IntRange(1, 10_000), default=200, show_default=True)
@config_option
def infer(topic: str, sample: int, config: Path | None) -> None:
    """Propose the section of a source for TOPIC, from its newest records or its schema.

    A guess, with its reasons, to be read and corrected: then leverframe sources try.
    """
    from leverframe.agents.operator.sources import infer_source
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.errors import BrokerError

    settings = load_settings(config)

    async def inferred(found: Any) -> Any:
        if topic not in found:
            raise BrokerError(f"{settings.broker.servers} has no topic {topic}")
        return await infer_source(settings, topic, sample, found)

    proposal, count = _connected(settings, inferred)
    click.echo(printable(proposal.written()), nl=False)
    told = f"from {count} records" if count else "from the schema; the topic holds no records"
    click.echo(f"{told}; correct it, then: leverframe sources try {proposal.name}", err=True)


def _connected(settings: Any, work: Any) -> Any:
    from leverframe.agents.operator.preflight import existing_topics

    async def run() -> Any:
        return await work(await existing_topics(settings))

    return run_connected(settings, [], run)


def _outcome(one: Any) -> str:
    from leverframe.streams.sources.mapping import Fault

    if isinstance(one.mapped, Fault):
        return "faulty"
    return "mapped" if one.mapped else "passed over"


def _lines(one: Any) -> list[str]:
    record = one.record
    key = "none" if record.key is None else record.key.decode("utf-8", "backslashreplace")
    lines = [f"{record.topic} {record.partition}:{record.offset} key {key:.60}"]
    outcome = _outcome(one)
    if outcome == "faulty":
        at = f" at {one.mapped.path}" if one.mapped.path else ""
        return [*lines, f"  !! {one.mapped.reason}{at}: {one.mapped.why}"]
    if outcome == "passed over":
        return [*lines, "  -- passed over"]
    lines += [f"  -> {made.kind} {made.value.decode()}" for made in one.mapped]
    for reward in one.rewards:
        told = "withdrawn" if reward.reward is None else f"{reward.reward:g}"
        lines.append(f"  => reward {told} for arm {reward.arm} on route {reward.route}")
    return lines if one.rewards else [*lines, "  .. no reward: its other half is not there"]


def _as_json(one: Any) -> dict[str, Any]:
    import orjson
    from msgspec import to_builtins

    record = one.record
    told: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "outcome": _outcome(one).replace(" ", "_"),
    }
    if told["outcome"] == "faulty":
        return told | {"fault": to_builtins(one.mapped)}
    made = [{"kind": each.kind, "record": orjson.loads(each.value)} for each in one.mapped]
    return told | {"records": made, "rewards": to_builtins(one.rewards)}


def _json(told: Any) -> str:
    import orjson

    return printable(orjson.dumps(told).decode())
