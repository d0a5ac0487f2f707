"""``leverframe broker``: a real Apache Kafka for development, without Docker and without Java."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from leverframe.agents.cli.options import GuessingGroup, examples

if TYPE_CHECKING:
    from leverframe.devbroker.broker import RunningBroker

__all__ = ["broker"]

_DEFAULT_PORT: Final = 9092

_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the broker's topics, settings and log.  [default: broker in the cache]",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group(cls=GuessingGroup)
def broker() -> None:
    """Run a real Apache Kafka on this machine: no Docker, no Java needed."""


@broker.command(
    epilog=examples(
        "leverframe broker start", "leverframe broker start --port 0 --data-dir kafka --json"
    )
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_PORT,
    show_default=True,
    help="Where to listen, on 127.0.0.1 only; 0 takes any free port.",
)
@_data_dir
@click.option(
    "--heap-mb",
    type=click.IntRange(min=128),
    default=512,
    show_default=True,
    help="Memory for Java's heap, in MiB.",
)
@click.option("--foreground", is_flag=True, help="Stay, and stop the broker on Ctrl-C.")
@_as_json
def start(
    port: int, data_dir: Path | None, heap_mb: int, *, foreground: bool, as_json: bool
) -> None:
    """Start the broker and wait until it answers. The first start downloads 45 MB."""
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import find_broker, start_broker
    from leverframe.schemas.errors import BrokerError

    folder = _folder(data_dir)
    found = find_broker(folder)
    if found is None:
        try:
            started = start_broker(
                data_dir=folder,
                port=port or None,
                cache=cache_root(),
                report=_report,
                detached=not foreground,
                heap_mb=heap_mb,
            )
        except BrokerError:
            found = find_broker(folder)  # another start was faster
            if found is None:
                raise
        else:
            if foreground:
                _stay(started, as_json=as_json)
            else:
                _say_started(started, as_json=as_json)
            return
    _say_found(found, port, as_json=as_json)


@broker.command(epilog=examples("leverframe broker stop"))
@_data_dir
@_as_json
def stop(data_dir: Path | None, *, as_json: bool) -> None:
    """Stop the broker; its topics are kept for the next start."""
    from leverframe.devbroker.broker import find_broker

    folder = _folder(data_dir)
    running = find_broker(folder)
    if running is None:
        _say({"running": False, "data_dir": str(folder)}, f"No broker runs on {folder}.", as_json)
        return
    running.stop()
    _say(
        {"running": False, "data_dir": str(folder), "stopped_pid": running.pid},
        f"Stopped the broker at {running.bootstrap} (pid {running.pid}).",
        as_json,
    )


@broker.command(epilog=examples("leverframe broker status --json"))
@_data_dir
@_as_json
def status(data_dir: Path | None, *, as_json: bool) -> None:
    """Tell whether the broker runs; the exit code is 0 when it does and answers, else 1."""
    from leverframe.devbroker.broker import find_broker
    from leverframe.devbroker.ports import kafka_answers

    folder = _folder(data_dir)
    running = find_broker(folder)
    if running is None:
        _say({"running": False, "data_dir": str(folder)}, f"No broker runs on {folder}.", as_json)
        sys.exit(1)
    answers = kafka_answers(running.state.port)
    how = "answers" if answers else "does not answer"
    _say(
        {**_facts(running), "answers": answers},
        f"Apache Kafka {running.state.kafka_version} at {running.bootstrap} {how} "
        f"(pid {running.pid}, log {running.log}).",
        as_json,
    )
    sys.exit(0 if answers else 1)


def _folder(data_dir: Path | None) -> Path:
    """Return where the broker keeps its topics."""
    from leverframe.devbroker.assets import cache_root

    return (data_dir or cache_root() / "broker").absolute()


def _facts(running: "RunningBroker") -> dict[str, object]:
    """Return what is known about a broker, for machines."""
    return {
        "running": True,
        "bootstrap": running.bootstrap,
        "port": running.state.port,
        "pid": running.pid,
        "kafka_version": running.state.kafka_version,
        "started_at_ms": running.state.started_at_ms,
        "data_dir": str(running.data_dir),
        "log": str(running.log),
    }


def _say_started(running: "RunningBroker", *, as_json: bool) -> None:
    """Tell where the broker that we started is."""
    _say(
        {**_facts(running), "already_running": False},
        f"Apache Kafka {running.state.kafka_version} answers at {running.bootstrap} "
        f"(pid {running.pid}).\nexport LEVERFRAME_BROKER={running.bootstrap}",
        as_json,
    )


def _say_found(running: "RunningBroker", port: int, *, as_json: bool) -> None:
    """Tell where the broker is that ran before."""
    other = (
        f"\nTo have it on port {port}, stop it first: leverframe broker stop"
        if port not in {0, _DEFAULT_PORT, running.state.port}
        else ""
    )
    _say(
        {**_facts(running), "already_running": True},
        f"Already running at {running.bootstrap} (pid {running.pid}).{other}\n"
        f"export LEVERFRAME_BROKER={running.bootstrap}",
        as_json,
    )


def _stay(running: "RunningBroker", *, as_json: bool) -> None:
    """Tell where the broker is, and wait until it ends or we are told to end."""
    import math
    import signal

    from leverframe.devbroker.launch import last_lines
    from leverframe.devbroker.processes import wait_until
    from leverframe.schemas.errors import BrokerError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _report(f"Its log: {running.log}. Ctrl-C stops it.")
        _say_started(running, as_json=as_json)
        wait_until(lambda: not running.is_running(), math.inf)
    except KeyboardInterrupt:
        _report("Stopping.")
        running.stop()
        return
    raise BrokerError(f"The broker ended. The end of {running.log}:\n{last_lines(running.log)}")


def _report(line: str) -> None:
    """Tell what is going on, beside the answer."""
    click.echo(line, err=True)


def _say(facts: dict[str, object], words: str, as_json: bool) -> None:  # noqa: FBT001 - private
    """Answer, for machines or for people."""
    click.echo(json.dumps(facts) if as_json else words)
