"""The ramp's demo: a slow model, labels that stay away, a break at half of the traffic, a yes."""

import asyncio
import logging
import secrets
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from leverframe.agents.cli.watch import line
from leverframe.agents.operator.commands import ask
from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings, load_settings
from leverframe.devbroker.ports import HOST, free_ports
from leverframe.experiments.demo.models import BYSTANDER, CHALLENGER, CHAMPION, load_data, train
from leverframe.experiments.demo.observer import Observer
from leverframe.experiments.demo.plot import draw
from leverframe.experiments.demo.processes import demo_broker, running_worker
from leverframe.experiments.demo.ramp import Service
from leverframe.experiments.demo.summary import Milestones
from leverframe.schemas.command import Action
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["RampOptions", "run_ramp_demo"]

ROUTE: Final = "shuttle"
_RULES: Final = {
    "REGISTER_ARMS": "command",
    "WINDOW_S": "60",
    "BUCKET_MS": "250",
    "NURSERY_LABELS": "0",
    "FLOOR": "0",
    "MAX_STEP": "1.0",
    "TTL_S": "3",
    "POLICY": f'{{ name = "static", params = {{ weights = {{ {CHAMPION} = 1.0 }} }} }}',
    "PROMOTE": "propose",
    "GUARD__COOLDOWN_S": "1",
    "METRICS__LATENCY_MS__ROLE": "guardrail",
    "METRICS__LATENCY_MS__RANGE": "[0, 1000]",
    "METRICS__LATENCY_MS__MARGIN": "50",
}
_PLAN: Final = {
    "steps": [10.0, 25.0, 50.0, 100.0],
    "dwell": "3s",
    "min_labels": 60,
    "gate": "not_harmful",
}
_FIRST_LABELS: Final = 200
_HALF: Final = 0.5
_MARKS: Final = (
    "bayes-v1 ramps, and is slow",
    "forest-v2 ramps",
    "its input breaks, at half",
    "rolled back",
)

Approve = Callable[[str, str], Awaitable[None]]
"""Gets the route's page and its token, and approves there; returns when it is done."""


class RampOptions(Struct, frozen=True, kw_only=True):
    """What a user may choose: seed, requests a second, longest time, folder of the results."""

    seed: int
    rate: float
    duration_s: float
    output: Path


class Told(Struct, kw_only=True):
    """What came of it; ``ramp_steps`` are those that the last ramp took by itself."""

    slow_requests: int
    slow_share: float
    waited_for: str
    broken_at_share: float
    labels_until_rollback: int
    approved_by: str
    champion: str
    ramp_steps: list[int]


def run_ramp_demo(
    options: RampOptions, console: Console, approve_in_page: Approve | None = None
) -> bool:
    """Tell the story; return whether it came to its end.

    ``approve_in_page`` is asked for the last step; the demo itself approves by command without it.
    """

    def say(text: str) -> None:
        console.print(f"==> {text}", highlight=False, soft_wrap=True)

    options.output.mkdir(parents=True, exist_ok=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-demo-")))
        servers = demo_broker(stack, folder, say, keep=False)
        environment = {
            "LEVERFRAME_BROKER": servers,
            "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
            "LEVERFRAME_APP__WEB_PORT": str(free_ports(1)[0]),
            "LEVERFRAME_APP__WEB_TOKEN": secrets.token_urlsafe(16),
            "LEVERFRAME_TOPICS__PREFIX": f"demo-{uuid.uuid4().hex[:6]}-",
            **{f"LEVERFRAME_ROUTES__{ROUTE.upper()}__{k}": v for k, v in _RULES.items()},
        }
        settings = load_settings(None, environment)
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        stack.enter_context(running_worker(environment, options.output / "worker.log", keep=False))
        page = f"http://{HOST}:{settings.app.web_port}/#/route/{ROUTE}"
        say(f"dashboard: {page}")
        say(f"  to press there: token {settings.app.web_token}")
        try:
            told = asyncio.run(_play(settings, options, page, say, approve_in_page))
        except (TimeoutError, LeverframeError) as error:
            say(f"the demo did not reach its end: {error}")
            return False
        (options.output / "summary.json").write_bytes(
            orjson.dumps(told, default=_plain, option=orjson.OPT_INDENT_2)
        )
        _show(told, console)
        return told.champion == CHALLENGER


def _plain(told: Any) -> dict[str, Any]:
    return {name: getattr(told, name) for name in told.__struct_fields__}


async def _play(
    settings: Settings,
    options: RampOptions,
    page: str,
    say: Callable[[str], None],
    approve_in_page: Approve | None,
) -> Told:
    data = load_data(options.seed)
    models = train(data, options.seed)
    observer = Observer(settings, ROUTE)
    await observer.start()
    producer = AIOKafkaProducer(**client_options(settings.broker), linger_ms=2)
    await producer.start()
    try:
        async with subscriber(settings) as routing:
            service = Service(
                routing,
                producer,
                settings.topic_names,
                ROUTE,
                data,
                models,
                seed=options.seed,
                rate=options.rate,
            )
            story = _Story(settings, options, observer, service, say)
            serving = asyncio.create_task(service.serve())
            telling = asyncio.create_task(story.tell(page, approve_in_page))
            await asyncio.wait({serving, telling}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                telling.cancel()
                serving.result()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
            told = telling.result()
        picture = options.output / "traffic.png"
        await asyncio.to_thread(draw, picture, observer, story.milestones, _MARKS)
        return told
    finally:
        await producer.stop()
        await observer.stop()


class _Story:
    """The acts, one after the other; each waits for what it is about, as long as there is time."""

    def __init__(
        self,
        settings: Settings,
        options: RampOptions,
        observer: Observer,
        service: Service,
        say: Callable[[str], None],
    ) -> None:
        self.milestones = Milestones()
        self._settings, self._observer, self._service, self._say = settings, observer, service, say
        self._deadline_s = time.monotonic() + options.duration_s
        self._shown = 0

    async def tell(self, page: str, approve_in_page: Approve | None) -> Told:
        """Play all acts."""
        say, service, observer = self._say, self._service, self._observer
        await self._command("register_arm", CHAMPION)
        say(f"{CHAMPION} serves; labels come half a second late")
        await self._until("its first labels", lambda: observer.labels >= _FIRST_LABELS)

        say(f"{BYSTANDER} ramps up; it is as good, and six times as slow")
        self.milestones.registered_s = observer.now_s
        await self._ramp(BYSTANDER)
        slow = await self._message(f"{BYSTANDER} is off", lambda one: BYSTANDER in one.quarantined)
        slow_requests = service.answered.get(BYSTANDER, 0)
        say(f"off by its latency alone, after {slow_requests} of its requests")

        say(f"{CHALLENGER} ramps up, and labels stay away for a while")
        self.milestones.shifted_s = observer.now_s
        service.holds_labels = True
        await self._ramp(CHALLENGER)
        waiting = await self._message("the wait", lambda one: bool(_waits_for(one)))
        say(f"the ramp waits for {_waits_for(waiting)}: they come again")
        service.holds_labels = False
        half = await self._message("half", lambda one: one.weights.get(CHALLENGER, 0.0) == _HALF)
        say("at half of the traffic its input breaks")
        self.milestones.broken_s = observer.now_s
        before = observer.labels_of(CHALLENGER)
        service.is_broken = True
        await self._message("the rollback", lambda one: CHALLENGER in one.quarantined)
        labels = observer.labels_of(CHALLENGER) - before
        self.milestones.rolled_back_s = observer.now_s

        say("mended; it is released, and ramps once more")
        service.is_broken = False
        await self._command("release", CHALLENGER)
        begun = len(observer.messages)
        await self._ramp(CHALLENGER)
        await self._message("the proposal", lambda one: _waits_for(one) == "approval")
        say(f"the last step waits for a person's yes, at {page}")
        if approve_in_page is None:
            await self._command("approve", CHALLENGER)
        else:
            await approve_in_page(page, self._settings.app.web_token)
        done = await self._message("a champion", lambda one: one.champion == CHALLENGER)
        await self._message("all of the traffic", lambda one: one.weights[CHALLENGER] == 1.0)
        steps = [
            message.cause["at"]
            for _, message in observer.messages[begun:]
            if message.cause.get("why") == "ramp" and message.cause["step"] in {"moved", "done"}
        ]
        return Told(
            slow_requests=slow_requests,
            slow_share=_share_before(observer, BYSTANDER, slow),
            waited_for=_waits_for(waiting),
            broken_at_share=half.weights[CHALLENGER],
            labels_until_rollback=labels,
            approved_by=str(done.cause.get("actor", "")),
            champion=str(done.champion),
            ramp_steps=steps,
        )

    async def _ramp(self, arm: str) -> None:
        newest = self._observer.newest
        if newest is None or arm not in newest.weights:
            await self._command("register_arm", arm)
        await self._command("ramp", arm, _PLAN)

    async def _command(
        self, action: Action, arm: str, params: dict[str, Any] | None = None
    ) -> None:
        left_s = max(1.0, self._deadline_s - time.monotonic())
        await ask(
            self._settings,
            ROUTE,
            action,
            arm=arm,
            params=params,
            actor="demo",
            timeout_s=left_s,
        )

    async def _message(self, what: str, is_it: Callable[[ControlMessage], bool]) -> ControlMessage:
        """Wait for a message that comes from now on, or the one in force, if it is it."""
        observer = self._observer
        at = max(0, len(observer.messages) - 1)
        found: list[ControlMessage] = []

        def look() -> bool:
            found.extend(one for _, one in observer.messages[at:] if is_it(one))
            return bool(found)

        await self._until(what, look)
        return found[0]

    async def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if time.monotonic() > self._deadline_s:
                raise TimeoutError(f"{what} did not come in time (--duration)")
            await self._observer.wait_for_news(1.0)
            self._tell_news()

    def _tell_news(self) -> None:
        messages = self._observer.messages
        for _, message in messages[self._shown :]:
            if message.kind != "heartbeat" and message.cause.get("why") != "policy":
                self._say(f"  {line(message)}")
        self._shown = len(messages)


def _waits_for(message: ControlMessage) -> str:
    """For what the ramp waits, as heartbeats tell: without labels nothing is decided."""
    return str(message.cause.get("ramp", {}).get("waits_for", ""))


def _share_before(observer: Observer, arm: str, end: ControlMessage) -> float:
    """The arm's greatest share before a message."""
    before = [
        one.weights.get(arm, 0.0)
        for _, one in observer.messages
        if (one.epoch, one.seq) < (end.epoch, end.seq)
    ]
    return max(before, default=0.0)


def _show(told: Told, console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for text, value in (
        ("requests of the slow model until it was off", f"{told.slow_requests:,}"),
        ("  its share of the traffic at most", f"{told.slow_share:.0%}"),
        ("the ramp waited for", told.waited_for),
        ("the better model broke at", f"{told.broken_at_share:.0%} of the traffic"),
        ("  its labels until the rollback", f"{told.labels_until_rollback:,}"),
        ("approved by", told.approved_by),
        ("champion", told.champion),
    ):
        table.add_row(text, value)
    console.print(table)
