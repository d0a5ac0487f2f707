"""The process: follows ``control``, lets each actuator follow, and answers how they are."""

import asyncio
import os
import signal
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from aiohttp import web
from msgspec import Struct

from leverframe.agents.actuate.actuator import Actuator
from leverframe.agents.actuate.kubernetes import Kubernetes
from leverframe.agents.actuate.metrics import make_page
from leverframe.agents.actuate.objects import http_route, inference_service
from leverframe.agents.actuate.place import Place
from leverframe.agents.actuate.settings import ActuatorSettings
from leverframe.agents.actuate.webhook import Webhook
from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import SettingsError
from leverframe.serving.acks import Acknowledger
from leverframe.serving.routing import InForce
from leverframe.serving.tasks import end_task
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.logger import make_logger

__all__ = ["How", "actuate", "make_places"]

log = make_logger(__name__)

_METRICS_TYPE: Final = "text/plain; version=0.0.4"
_LONGEST_NAME: Final = 128
_LOOK_S: Final = 0.05
_DRAIN_S: Final = 3.0


class How(Struct, frozen=True):
    """What was asked for.

    Attributes
    ----------
    apply : bool
        Write; else say what would be written.
    once_s : float, optional
        End when everything is in force, after so many seconds at the latest.
    """

    apply: bool
    once_s: float | None = None


def make_places(settings: Settings, environment: Mapping[str, str]) -> dict[str, Place]:
    """Return the place of each section.

    Raises ``SettingsError`` where there is none, or one lacks what it needs.
    """
    if not settings.actuators:
        raise SettingsError(
            "there is no section [actuators.NAME], so nothing would be written: docs/actuators.md"
        )
    sections = settings.actuators.values()
    client = None
    if any(one.webhook is None for one in sections):
        client = Kubernetes(settings.kubernetes, environment)
    return {
        name: _place(name, one, client, environment) for name, one in settings.actuators.items()
    }


def _place(
    name: str, section: ActuatorSettings, client: Kubernetes | None, environment: Mapping[str, str]
) -> Place:
    arms, force = section.arms, section.force
    if section.httproute is not None and client is not None:
        return http_route(client, section.httproute, arms, force=force)
    if section.inferenceservice is not None and client is not None:
        return inference_service(client, section.inferenceservice, arms, force=force)
    if section.webhook is not None:
        return Webhook(name, section, section.webhook, environment)
    raise SettingsError(f"actuators.{name}: name httproute, inferenceservice or webhook")


async def actuate(
    settings: Settings, places: Mapping[str, Place], how: How, show: Callable[[str], None]
) -> bool:
    """Write until SIGTERM or SIGINT, or once; return whether everything is as it should be.

    In a dry run nothing is written and nothing acknowledged. Raises ``SettingsError`` where the
    address of the metrics cannot be used.
    """
    async with AsyncExitStack() as stack:
        actuators = []
        for name, place in places.items():
            stack.push_async_callback(place.close)
            section = settings.actuators[name]
            put = (
                await stack.enter_async_context(_acknowledging(settings, name))
                if how.apply
                else None
            )
            actuators.append(Actuator(name, section, place, put, show))
        if how.once_s is None:
            await stack.enter_async_context(_pages(settings, actuators))
        news = _News(actuators)
        following = subscriber(settings, on_routing=news.on_routing, on_weights=news.on_weights)
        await stack.enter_async_context(following)
        tasks = [asyncio.create_task(one.follow(), name=one.name) for one in actuators]
        for task in tasks:
            stack.push_async_callback(end_task, task)
        log.info(
            "actuators_follow",
            message=f"{'writing' if how.apply else 'dry run'}: {', '.join(places)}",
            actuators=list(places),
        )
        await _until_told(actuators, how)
        return all(_is_well(one, how) for one in actuators)


def _is_well(actuator: Actuator, how: How) -> bool:
    if how.apply and how.once_s is not None:
        return actuator.status.is_in_force
    return not actuator.status.failures


class _News:
    """Hands on what holds, as the subscriber tells it."""

    def __init__(self, actuators: Sequence[Actuator]) -> None:
        self._by_route: dict[str, list[Actuator]] = defaultdict(list)
        for one in actuators:
            self._by_route[one.route].append(one)

    def on_routing(self, message: ControlMessage) -> None:
        """Take a message that has come into force."""
        for one in self._by_route.get(message.route, ()):
            one.hear(InForce(message, is_fallback=False), is_news=message.kind != "heartbeat")

    def on_weights(self, state: InForce) -> None:
        """Take weights that have changed, also by silence."""
        for one in self._by_route.get(state.message.route, ()):
            one.hear(state, is_news=True)


@asynccontextmanager
async def _acknowledging(
    settings: Settings, name: str
) -> AsyncIterator[Callable[[ControlMessage], None]]:
    """Acknowledge as a replica of our own for each actuator: each is in force for itself."""
    kafka = dict(client_options(settings.broker))
    replica = settings.actuate.replica or f"{socket.gethostname()}-{os.getpid()}"
    acknowledger = Acknowledger(
        kafka.pop("bootstrap_servers"),
        settings.topic_names.control_acks,
        f"actuate-{name}-{replica}"[:_LONGEST_NAME],
        kafka,
    )
    acknowledger.start()
    try:
        yield acknowledger.put
        await acknowledger.drain(_DRAIN_S)
    finally:
        await acknowledger.stop()


@asynccontextmanager
async def _pages(settings: Settings, actuators: Sequence[Actuator]) -> AsyncIterator[None]:
    """Answer ``/metrics``, ``/health/live`` and ``/health/ready``."""
    ours = settings.actuate

    async def metrics(_request: web.Request) -> web.Response:
        page = make_page(actuators)
        return web.Response(body=page, headers={"Content-Type": _METRICS_TYPE})

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def ready(_request: web.Request) -> web.Response:
        failing = [f"{one.name}: {one.status.trouble}" for one in actuators if one.status.failures]
        return web.Response(
            text="\n".join(failing or ["ready"]) + "\n", status=503 if failing else 200
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/health/live", live),
            web.get("/health/ready", ready),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, ours.bind, ours.port).start()
        except OSError as error:
            raise SettingsError(
                f"actuate.bind, actuate.port: cannot listen on {ours.bind}:{ours.port} ({error}): "
                "give an address of this machine and a port that nothing else has"
            ) from error
        host, port = runner.addresses[0][:2]
        log.info("actuate_listens", message=f"metrics on {host}:{port}", address=f"{host}:{port}")
        yield
    finally:
        await runner.cleanup()


async def _until_told(actuators: Sequence[Actuator], how: How) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if how.once_s is None:
        await told.wait()
        return
    deadline_s = loop.time() + how.once_s
    while loop.time() < deadline_s and not all(_is_done(one, how) for one in actuators):
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), _LOOK_S)
            return


def _is_done(actuator: Actuator, how: How) -> bool:
    status = actuator.status
    return status.is_in_force or (not how.apply and status.kind != "unread")
