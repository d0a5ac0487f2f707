"""The gateway's process: connects, listens, and stops gracefully."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn

from leverframe.agents.gateway.app import EVENTS, GatewayApp
from leverframe.agents.gateway.calls import Calls, Terms
from leverframe.agents.gateway.collecting import keep_settled, settle
from leverframe.agents.gateway.feedback import Limits
from leverframe.agents.gateway.guarding import Guard
from leverframe.agents.gateway.metrics import GatewayMetrics
from leverframe.agents.gateway.notices import Notices
from leverframe.agents.gateway.protocol import PlainHttp
from leverframe.agents.gateway.revision import Revision
from leverframe.agents.gateway.settings import GatewaySettings, exposure_faults
from leverframe.agents.gateway.writer import Writer
from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import SettingsError
from leverframe.serving.routing import InForce
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.logger import make_logger

__all__ = ["check_exposure", "serve"]

log = make_logger(__name__)

_BACKLOG: Final = 2048
_KEEP_ALIVE_S: Final = 75


def check_exposure(settings: GatewaySettings) -> None:
    """Refuse to listen where anybody could steer traffic.

    Raises ``SettingsError``: with all faults.
    """
    if faults := list(exposure_faults(settings)):
        raise SettingsError("the gateway does not start:\n  " + "\n  ".join(faults))


async def serve(settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT.

    Raises ``SettingsError`` where the address or the TLS files cannot be used.
    """
    ours = settings.gateway
    listening = _listen(ours)
    writer = Writer(client_options(settings.broker), ours.max_waiting_bytes, ours.write_timeout_s)
    revision, notices = Revision(), Notices()
    changes = _Changes(revision, notices)
    following = subscriber(
        settings,
        acks=settings.topic_names.control_acks,
        replica=_replica(ours),
        on_routing=changes.on_routing,
        on_weights=changes.on_weights,
    )
    metrics = GatewayMetrics(following, writer, notices)
    guard = Guard(ours)
    ticket = guard.ticket()
    events = f"{EVENTS}?ticket={ticket}" if ticket else EVENTS
    calls = Calls(
        following,
        revision,
        notices,
        writer,
        metrics,
        Terms(
            topics=settings.topic_names,
            limits=Limits(ours.max_records, settings.app.max_value_bytes),
            events=events if ours.max_streams else None,
            needs_token=bool(ours.tokens),
        ),
    )
    app = GatewayApp(calls, guard, notices, metrics, ours.max_body_bytes, ours.max_streams)
    server = _Server(_configured(app, ours))
    with contextlib.closing(listening):
        await writer.start()
        try:
            async with following, _beside(settings, metrics):
                settle()
                _on_signals(server, calls, notices)
                place = "{}:{}".format(*listening.getsockname()[:2])
                log.info("gateway_listens", message=f"answering on {place}", address=place)
                await server.serve(sockets=[listening])
        finally:
            await writer.stop()
    log.info("gateway_stopped", message="stopped")


@contextlib.asynccontextmanager
async def _beside(settings: Settings, metrics: GatewayMetrics) -> AsyncIterator[None]:
    """Do what goes on beside answering, until the end of the block."""
    tasks = [asyncio.create_task(keep_settled())]
    if settings.telemetry.metrics:
        from leverframe.agents.telemetry.metrics import MetricsPush

        tasks.append(asyncio.create_task(MetricsPush(metrics.collect).follow()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _Changes:
    """Keeps the revision, and tells clients of it."""

    def __init__(self, revision: Revision, notices: Notices) -> None:
        self._revision = revision
        self._notices = notices

    def on_routing(self, message: ControlMessage) -> None:
        """Take a message that has come into force."""
        is_urgent = message.kind in {"rollback", "promotion"} or "command_id" in message.cause
        self._note(InForce(message, is_fallback=False), is_urgent=is_urgent)

    def on_weights(self, state: InForce) -> None:
        """Take what holds by silence; messages were taken before."""
        self._note(state, is_urgent=state.is_fallback)

    def _note(self, state: InForce, *, is_urgent: bool) -> None:
        if self._revision.note(state):
            self._notices.put(self._revision.text, is_urgent=is_urgent)


def _replica(ours: GatewaySettings) -> str:
    return ours.replica or f"gateway-{socket.gethostname()}-{os.getpid()}"[-128:]


def _listen(ours: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in ours.bind else socket.AF_INET
    try:
        return socket.create_server((ours.bind, ours.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"gateway.bind, gateway.port: cannot listen on {ours.bind}:{ours.port} ({error}): give "
            "an address of this machine and a port that nothing else has"
        ) from error


def _configured(app: GatewayApp, ours: GatewaySettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=PlainHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(ours.stop_timeout_s)),
        ssl_certfile=ours.cert_file or None,
        ssl_keyfile=ours.key_file or None,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"gateway.cert_file, gateway.key_file: not usable for TLS ({error}): give PEM files "
            "that this user may read and that belong together"
        ) from error
    return config


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again after it has stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def _on_signals(server: _Server, calls: Calls, notices: Notices) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit  # whoever asks twice is in a hurry
        server.should_exit = True
        calls.is_stopping = True
        notices.end()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
