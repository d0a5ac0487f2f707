"""``leverframe topics create|check|acls``."""

from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["topics"]

# As agents.operator.rights has them, which is heavy.
_ROLES = (
    "worker",
    "serving",
    "labels",
    "gateway",
    "actuator",
    "operator",
    "auditor",
    "administrator",
)


@click.group(cls=GuessingGroup)
def topics() -> None:
    """Create or check the topics that the settings declare."""


@topics.command(epilog=examples("leverframe topics create --config leverframe.toml"))
@config_option
@json_option
def create(config: Path | None, *, as_json: bool) -> None:
    """Create what is missing; what exists stays as it is, and is told where it is wrong."""
    from leverframe.agents.doctor.topic_faults import topic_faults
    from leverframe.agents.settings import load_settings
    from leverframe.streams.runtime.topic_admin import create_topics

    settings = load_settings(config)
    wanted = settings.declared_topics()

    async def created() -> list[Any]:
        made = await create_topics(settings.broker, wanted, settings.topics.replication)
        new = {finding.topic: finding for finding in made if finding.state == "created"}
        return [
            new.get(finding.topic, finding) if finding.state in {"ok", "missing"} else finding
            for finding in await topic_faults(settings)
        ]

    _show(run_connected(settings, (), created), wanted, as_json)


@topics.command(epilog=examples("leverframe topics check", "leverframe topics check --json"))
@config_option
@json_option
def check(config: Path | None, *, as_json: bool) -> None:
    """Compare the broker's topics with the declared ones; exit code 2 if any differs.

    Partition counts, and of Kafka's own settings those that would lose records or end the worker.
    """
    from leverframe.agents.doctor.topic_faults import topic_faults
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    wanted = settings.declared_topics()
    findings = run_connected(settings, (), lambda: topic_faults(settings))
    try:
        _show(findings, wanted, as_json)
    finally:
        _say_where_they_are(settings, [f.topic for f in findings if f.state == "missing"])


@topics.command(
    epilog=examples(
        "leverframe topics acls worker --principal User:leverframe > worker-acls.sh",
        "leverframe topics acls serving --principal User:fraud-api",
    )
)
@click.argument("role", type=click.Choice(_ROLES))
@click.option("--principal", required=True, help="Who is allowed, as Kafka knows it: User:name.")
@click.option("--host", default="*", show_default=True, help="From where; * for anywhere.")
@config_option
def acls(role: Any, principal: str, host: str, config: Path | None) -> None:
    """Print a script that allows a principal what ROLE needs, by Kafka's own kafka-acls.sh.

    No more than that. It asks nobody, so it can be read before it is run; KAFKA_ACLS names the
    tool, ADMIN_CONFIG a file with the properties of whoever may allow it.
    """
    from leverframe.agents.operator.rights import acl_script
    from leverframe.agents.settings import load_settings

    if ":" not in principal:
        raise click.BadParameter(
            f"{principal!r} has no type: write User:{principal}", param_hint="--principal"
        )
    for line in acl_script(role, load_settings(config), principal, host):
        click.echo(printable(line))


def _say_where_they_are(settings: Any, missing: list[str]) -> None:
    """Where topics are missing, the prefix may be what is wrong."""
    from leverframe.schemas.errors import BrokerError

    async def nothing() -> None: ...

    try:
        run_connected(settings, missing, nothing)
    except BrokerError as error:
        click.echo(printable(f"leverframe: {error}"), err=True)


def _show(findings: list[Any], wanted: Any, as_json: bool) -> None:  # noqa: FBT001
    import orjson
    from msgspec import to_builtins

    if as_json:
        click.echo(orjson.dumps(to_builtins(findings)).decode())
    else:
        partitions = {name: count for name, count, _ in wanted}
        for finding in findings:
            click.echo(
                f"{finding.state:8} {finding.topic} ({partitions[finding.topic]} partitions)"
                + (f": {finding.detail}" if finding.detail else "")
            )
    if any(finding.state in {"missing", "wrong"} for finding in findings):
        raise SystemExit(2)
