"""The demo: everything is started, one of the stories is told, and what was seen is kept."""

import asyncio
import multiprocessing
import secrets
import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from leverframe.agents.operator.commands import ask
from leverframe.agents.settings import Settings, load_settings
from leverframe.devbroker.ports import HOST, free_ports
from leverframe.experiments.demo.models import CHALLENGER, load_data, train
from leverframe.experiments.demo.observer import Observer
from leverframe.experiments.demo.plot import draw
from leverframe.experiments.demo.processes import demo_broker, running_servers, running_worker
from leverframe.experiments.demo.stage import Stage, UnreachedError
from leverframe.experiments.demo.stories import STORIES, Scene
from leverframe.experiments.demo.summary import Milestones, Summary, summarize, write_results
from leverframe.experiments.demo.view import make_view
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["DemoOptions", "run_demo"]

ROUTE: Final = "shuttle"


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What a user may choose.

    Attributes
    ----------
    duration_s : float
        Longest time of all acts together; the demo ends earlier when its story is told.
    seed : int
        Of data split, requests and models.
    rate : float or None
        Requests a second; the story's own when left out.
    keep : bool
        Leave broker and worker running at the end.
    tty : bool
        False for plain lines.
    output : Path
        Folder of the results.
    scenario : str
        Which story, of ``STORIES``.
    """

    duration_s: float
    seed: int
    rate: float | None
    keep: bool
    tty: bool
    output: Path
    scenario: str = "rollback"


def run_demo(options: DemoOptions, look: Callable[[str], None] | None = None) -> Summary:
    """Run the whole loop on this machine.

    ``look`` gets the address of the route's page once the story is over, while all still runs.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        view = make_view(tty=options.tty)
        say: Callable[[str], None] = view.say
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-demo-")))
        if options.keep:
            folder = options.output / "state"
        servers = demo_broker(stack, folder, say, keep=options.keep)
        settings, environment = _settings(servers, folder, STORIES[options.scenario].rules)
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        say("starting the worker, two model servers and a label source")
        log = options.output / "worker.log"
        worker = stack.enter_context(running_worker(environment, log, keep=options.keep))
        route_page = f"http://{HOST}:{settings.app.web_port}/#/route/{ROUTE}"
        say(f"dashboard: {route_page}")
        context = multiprocessing.get_context("spawn")
        broken, stop = context.Event(), context.Event()
        stack.enter_context(
            running_servers(
                context,
                settings,
                ROUTE,
                options.seed,
                _rate(options),
                broken,
                stop,
                STORIES[options.scenario].places_off,
            )
        )
        stack.enter_context(view)
        summary = asyncio.run(_play(settings, options, view, broken, lambda: _check(worker, log)))
        if look is not None:
            look(route_page)
        stop.set()
        if options.keep:
            _tell_how_to_go_on(servers, environment, worker, folder, say)
        return summary


def _rate(options: DemoOptions) -> float:
    return STORIES[options.scenario].rate if options.rate is None else options.rate


def _check(worker: subprocess.Popen[bytes], log: Path) -> None:
    if worker.poll() is not None:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise LeverframeError(f"the worker ended with code {worker.returncode}; {log}:\n{tail}")


def _settings(
    servers: str, folder: Path, rules: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    route = f"LEVERFRAME_ROUTES__{ROUTE.upper()}__"
    environment = {
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
        "LEVERFRAME_APP__WEB_PORT": str(free_ports(1)[0]),
        # Whoever runs the demo may press; the token ends with it.
        "LEVERFRAME_APP__WEB_TOKEN": secrets.token_urlsafe(16),
        "LEVERFRAME_TOPICS__PREFIX": f"demo-{uuid.uuid4().hex[:6]}-",
        route + "REGISTER_ARMS": "command",
        route + "WINDOW_S": "60",
        route + "BUCKET_MS": "250",
        **{route + name: value for name, value in rules.items()},
    }
    return load_settings(None, environment), environment


async def _play(
    settings: Settings,
    options: DemoOptions,
    view: Any,
    broken: Any,
    check: Callable[[], None],
) -> Summary:
    data = load_data(options.seed)
    models = train(data, options.seed)
    observer = Observer(settings, ROUTE)
    await observer.start()
    drawing = asyncio.create_task(_draw(view, observer, check))
    try:
        story = asyncio.create_task(_tell(settings, options, observer, view.say, broken))
        await asyncio.wait({story, drawing}, return_when=asyncio.FIRST_COMPLETED)
        if drawing.done():
            story.cancel()
            drawing.result()
        milestones = story.result()
        view.refresh(observer)
        summary = summarize(observer, milestones, data, models)
        write_results(options.output, observer, summary)
        picture = options.output / "traffic.png"
        await asyncio.to_thread(
            draw, picture, observer, milestones, STORIES[options.scenario].marks
        )
        return summary
    finally:
        drawing.cancel()
        with suppress(asyncio.CancelledError):
            await drawing
        await observer.stop()


async def _draw(view: Any, observer: Observer, check: Callable[[], None]) -> None:
    while True:
        view.refresh(observer)
        check()
        await asyncio.sleep(0.25)


async def _tell(
    settings: Settings,
    options: DemoOptions,
    observer: Observer,
    say: Callable[[str], None],
    broken: Any,
) -> Milestones:
    async def register(arm: str, params: dict[str, Any] | None) -> None:
        await ask(
            settings,
            ROUTE,
            "register_arm",
            arm=arm,
            params=params,
            actor="demo",
            timeout_s=max(60.0, options.duration_s),
        )

    scene = Scene(
        register=register,
        observer=observer,
        stage=Stage(observer, CHALLENGER, say, _rate(options), options.duration_s),
        say=say,
        broken=broken,
        rate=_rate(options),
        places_off=STORIES[options.scenario].places_off,
    )
    milestones = Milestones()
    try:
        await STORIES[options.scenario].tell(scene, milestones)
    except UnreachedError as error:
        milestones.failure = str(error)
    return milestones


def _tell_how_to_go_on(
    servers: str,
    environment: dict[str, str],
    worker: subprocess.Popen[bytes],
    folder: Path,
    say: Callable[[str], None],
) -> None:
    token = environment["LEVERFRAME_APP__WEB_TOKEN"]
    port = environment["LEVERFRAME_APP__WEB_PORT"]
    exports = " ".join(
        f"{name}={shlex.quote(value)}"
        for name, value in environment.items()
        if not name.startswith("LEVERFRAME_APP__WEB")
    )
    say(f"kept running: broker at {servers}, worker with pid {worker.pid}. To look:")
    say(f"  http://{HOST}:{port}/ (to press there: token {token})")
    say(f"  {exports} leverframe status")
    say(f"to end them: kill {worker.pid}; leverframe broker stop --data-dir {folder / 'broker'}")
