"""Runs a worker in this process until a signal stops it."""

import asyncio
import faulthandler
import gc
import signal
import socket
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import faust
import uvloop
from msgspec import structs

from leverframe.agents.datadir import claim
from leverframe.agents.operator.preflight import existing_topics, other_applications
from leverframe.agents.settings import Settings
from leverframe.agents.telemetry.settings import require_packages
from leverframe.agents.worker.app import build_app
from leverframe.agents.worker.endings import LONGEST_END_S, end_late, end_process, leave
from leverframe.agents.worker.in_their_words import in_their_words
from leverframe.agents.worker.logs import set_up_logging
from leverframe.agents.worker.processes import fork_into
from leverframe.schemas.errors import BrokerError, SettingsError
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.topic_admin import check_topics

if TYPE_CHECKING:
    from leverframe.agents.telemetry.spans import Spans

__all__ = ["refuse_taken_ports", "run_worker"]

log = make_logger()

SWITCH_INTERVAL_S: Final = 0.0005
LAST_WORDS_S: Final = 1.0


class Worker(faust.Worker):
    """Faust's worker with our own log, nothing drawn on the terminal, and an end for certain."""

    def _setup_logging(self) -> None:
        """Keep the logging that ``agents.worker.logs`` made."""

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        """End in order; if that takes too long, as without a broker, end all the same."""
        ending = threading.Timer(LONGEST_END_S, end_late)
        ending.daemon = True
        ending.start()
        super()._schedule_shutdown(signal)

    def _gather_all(self) -> None:
        """End what still runs: services have stopped, and all there was to commit is committed.

        Faust waits for a second, whether anything is left or not, and then for another one.
        """
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS_S))

    async def _sentinel_task(self) -> None:
        """Nobody is waited for any more."""

    def _crash(self, reason: BaseException) -> None:
        """End the process with whatever ends a task of Faust's: it would wait for the others."""
        if not self.should_stop:
            end_process(reason)
        super()._crash(reason)


def run_worker(settings: Settings) -> NoReturn:
    """Check the topics, then run until SIGTERM or SIGINT.

    Raises ``BrokerError`` if no broker answers, or a topic is missing or has another partition
    count, and ``SettingsError`` if another worker has the data folder or the web port.
    """
    set_up_logging(settings.app.log_level, settings.app.log_format)
    # Where each thread was, should a native library crash.
    faulthandler.enable()
    require_packages(settings.telemetry)
    asyncio.run(require_topics(settings))
    claim(Path(settings.app.datadir))
    refuse_taken_ports(settings)
    told = in_their_words(settings)
    if settings.app.processes > 1:
        settings = own_settings(settings, fork_into(settings.app.processes))
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    spans = _spans(settings)
    app = build_app(settings, told=told, spans=spans)
    # Thousands of records live for one micro-batch: collect less often, and never what is loaded.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # The consumer's thread hands every fetch over in several steps, and waits for the interpreter
    # at each; by default up to 5 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    worker = Worker(app, loglevel="WARN", redirect_stdouts=False, quiet=True, loop=loop)
    log.info(
        "worker_started",
        message=f"worker of {settings.app.id!r} on {settings.broker.servers}: "
        f"{settings.topics.partitions} + {settings.topics.route_partitions} partitions",
    )
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if spans is not None:
            spans.close(LAST_WORDS_S)
        leave(ended.code if isinstance(ended.code, int) else 1)


def _spans(settings: Settings) -> "Spans | None":
    """Return what begins spans where they are wanted: what it needs is loaded only then."""
    if not settings.telemetry.traces:
        return None
    from leverframe.agents.telemetry.spans import Spans

    return Spans(settings.app.instance)


def refuse_taken_ports(settings: Settings) -> None:
    """Raise ``SettingsError`` where a web port is taken, before Faust ends in a trace."""
    app = settings.app
    for port in range(app.web_port, app.web_port + app.processes) if app.web_port else ():
        try:
            with socket.create_server((app.web_bind, port), family=_family(app.web_bind)):
                pass
        except OSError as error:
            raise SettingsError(
                f"[app] web_port: {app.web_bind}:{port} cannot be used ({error.strerror}). Another "
                "worker may have it: give each its own web_port and datadir, or 0 for no pages."
            ) from error


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def own_settings(settings: Settings, number: int) -> Settings:
    """Return the settings of one process of several, by its number from 0.

    Each has a web port and an instance of its own; the dashboard is on the first.
    """
    port = settings.app.web_port
    own = structs.replace(
        settings.app,
        web_port=port + number if port else 0,
        dashboard=settings.app.dashboard and number == 0,
        instance=f"{settings.app.instance}-{number}" if settings.app.instance else "",
    )
    return structs.replace(settings, app=own)


def refuse_missing_sources(settings: Settings, existing: Collection[str]) -> None:
    """Raise ``BrokerError`` where a source reads a topic that is not there."""
    missing = [
        f"sources.{name}.topic: {source.topic}"
        for name, source in settings.sources.items()
        if source.topic not in existing
    ]
    if missing:
        raise BrokerError(
            f"{settings.broker.servers} has not, or does not show to this user, the topic of\n  "
            + "\n  ".join(missing)
            + "\ncorrect the name, grant read, or leave the source out until its topic is there"
        )


async def require_topics(settings: Settings) -> None:
    """Raise ``BrokerError``, naming every topic that is missing or has the wrong shape.

    ``SettingsError`` where another application counts the same topics.
    """
    findings = await check_topics(settings.broker, settings.declared_topics())
    wrong = [f"{f.topic}: {f.state}; {f.detail}" for f in findings if f.state != "ok"]
    if wrong:
        raise BrokerError("the topics are not as declared:\n  " + "\n  ".join(wrong))
    existing = await existing_topics(settings)
    refuse_missing_sources(settings, existing)
    if others := other_applications(settings.topic_names, existing):
        raise SettingsError(
            f"[app] id {settings.app.id!r}: another application counts these topics "
            f"({', '.join(others)}); both would count each label, and rewards would hold it twice. "
            "Use its id to go on; its id and leverframe restart-from to count anew; a [topics] "
            "prefix of its own for an application beside it. If it is gone for good, delete its "
            "changelogs."
        )
