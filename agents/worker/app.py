"""Wires the application: Faust for membership, agents, timers and web; lanes and ledgers for work.

``build_app(settings)`` is the only way in; nothing happens at import. A module that Faust's own
command line can load is one line: ``app = build_app(load_settings(path)).faust``.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import faust
from msgspec import Struct

from leverframe.agents.settings import Settings
from leverframe.agents.web.server import add_web
from leverframe.agents.worker.attribution import AttributionShell
from leverframe.agents.worker.learning import LearningShell
from leverframe.agents.worker.membership import Membership, flow_of
from leverframe.agents.worker.notifier import Notifier
from leverframe.schemas.errors import LeverframeError
from leverframe.serving.patches import (
    outlive_brokers,
    read_any_record,
    shorten_transaction_wait,
)
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.lanes import Lanes
from leverframe.streams.runtime.ledger import Ledger, LedgerSettings
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.microbatch import MicrobatchSchema, MicrobatchTransport, check_faust
from leverframe.streams.runtime.open_ledger import open_ledger
from leverframe.streams.runtime.store import Memory

__all__ = ["Application", "build_app"]

log = make_logger()

_BUFFERED_BATCHES: Final = 16


class Application(Struct, kw_only=True):
    """The parts of a worker that others may look at.

    Attributes
    ----------
    faust : faust.App
        To run.
    attribution, learning : AttributionShell, LearningShell
        The two shells, with their counts.
    lanes : dict of str to Lanes
        By agent name, with their open ledgers.
    """

    faust: Any
    attribution: AttributionShell
    learning: LearningShell
    lanes: dict[str, Lanes]


def end_process(error: BaseException) -> None:
    """Fail-stop: say what happened and leave at once; the platform starts the worker again.

    An orderly shutdown would wait for micro-batches that will never be acknowledged.

    Parameters
    ----------
    error : BaseException
        The first unexpected error.
    """
    if isinstance(error, LeverframeError):
        log.critical("worker_failed", message=str(error))
        code = error.exit_code
    else:
        log.critical(
            "worker_failed",
            message="unexpected error; nothing is lost, restart the worker",
            exc_info=error,
        )
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def build_app(
    settings: Settings, on_failure: Callable[[BaseException], None] = end_process
) -> Application:
    """Wire a worker.

    Parameters
    ----------
    settings : Settings
        Checked.
    on_failure : callable
        Called with the first unexpected error.

    Returns
    -------
    Application
        Not yet running.

    Raises
    ------
    LeverframeError
        If Faust's compiled parts are missing, or the routes' settings are wrong.
    """
    check_faust()
    read_any_record()
    shorten_transaction_wait()
    outlive_brokers()
    routes = compile_routes(settings.routes)
    attribution = AttributionShell(settings, routes)
    learning = LearningShell(settings, routes)
    app = _faust_app(settings)
    topics = settings.topic_names
    memory = Memory(settings.app.block_cache_mb << 20, settings.app.memtable_mb << 20)

    def opener(agent: str, changelog: str) -> Callable[[int], Any]:
        ledgers = LedgerSettings(
            app_id=topics.prefix + settings.app.id,
            agent=agent,
            changelog=changelog,
            datadir=Path(settings.app.datadir) / settings.app.id,
            broker=settings.broker,
            memory=memory,
        )

        async def opened(partition: int) -> Ledger:
            ledger = await open_ledger(ledgers, partition)
            log.info(
                "ledger_opened",
                message=f"{ledger.name}: open, {ledger.restored} entries restored "
                f"in {ledger.restore_seconds:.2f} s",
                agent=agent,
                partition=partition,
                entries=ledger.restored,
                seconds=round(ledger.restore_seconds, 3),
            )
            return ledger

        return opened

    inputs: dict[str, tuple[str, ...]] = {
        "attribution": (topics.predictions, topics.ground_truth),
        "learning": (topics.rewards, topics.commands, topics.control_acks, topics.traffic),
    }

    lanes = {
        "attribution": Lanes(
            opener("attribution", topics.attribution_changelog),
            attribution.handle,
            attribution.tick,
            on_failure,
            *flow_of(app, inputs["attribution"]),
        ),
        "learning": Lanes(
            opener("learning", topics.learning_changelog),
            learning.handle,
            learning.tick,
            on_failure,
            *flow_of(app, inputs["learning"]),
        ),
    }
    for name, names in inputs.items():
        _agent(app, name, names, lanes[name])
    Membership(app, lanes, inputs).connect(settings.app.tick_s)
    if settings.app.web_port > 0:
        add_web(app, settings, attribution, learning, lanes, inputs)
    if settings.notifications.url:
        app.task(Notifier(settings).follow)
    return Application(faust=app, attribution=attribution, learning=learning, lanes=lanes)


def _agent(app: Any, name: str, topics: Sequence[str], lanes: Lanes) -> None:
    """One agent over all its input topics: order per partition is what everything rests on."""
    channel = app.topic(*topics, schema=MicrobatchSchema())

    async def run(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            lanes.submit(message.partition, (message.topic, message.value, event.ack))

    app.agent(channel, name=name, concurrency=1)(run)


def _faust_app(settings: Settings) -> Any:
    topics = settings.topic_names
    broker = settings.broker
    web = settings.app.web_port > 0
    app = faust.App(
        topics.prefix + settings.app.id,
        broker=[f"kafka://{server.strip()}" for server in broker.servers.split(",")],
        broker_credentials=_credentials(broker),
        datadir=Path(settings.app.datadir).absolute() / "faust",
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.topics.partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.app.session_timeout_s,
        broker_heartbeat_interval=settings.app.session_timeout_s / 5,
        broker_request_timeout=max(40.0, settings.app.session_timeout_s),
        broker_rebalance_timeout=60.0,
        broker_commit_interval=1.0,
        broker_max_poll_interval=settings.app.poll_interval_s,
        stream_buffer_maxsize=_BUFFERED_BATCHES,
        # The lanes finish what they hold before a partition leaves (membership.py). Faust would
        # wait for records that nobody acknowledges, and for ever.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
        web_enabled=web,
        web_bind=settings.app.web_bind,
        web_port=settings.app.web_port or 6066,
        loghandlers=[],
    )
    app.transport = MicrobatchTransport(app.conf.broker_consumer, app)
    return app


def _credentials(broker: BrokerSettings) -> Any:
    if broker.security == "plaintext":
        return None
    from leverframe.streams.runtime.kafka import client_options

    context = client_options(broker).get("ssl_context")
    if broker.security == "ssl":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=broker.username,
        password=broker.password,
        mechanism=broker.sasl_mechanism,
        ssl_context=context,
    )
