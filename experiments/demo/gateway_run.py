"""The gateway's demo: a Node and a Python service decide through OpenFeature, labels by curl."""

import asyncio
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from leverframe.agents.operator.commands import ask
from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings, load_settings
from leverframe.experiments.demo.gateway import CHALLENGER, CHAMPION, RIGHT, Service
from leverframe.experiments.demo.processes import demo_broker, running_worker
from leverframe.schemas.errors import BrokerError, SettingsError
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["GatewayOptions", "run_gateway_demo"]

ROUTE: Final = "greeting"
NODE: Final = (
    "@openfeature/core@1.12.0",
    "@openfeature/server-sdk@1.23.0",
    "@openfeature/ofrep-core@0.1.4",
    "@openfeature/ofrep-provider@0.1.3",
)
_EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
_RULES: Final = {
    "REGISTER_ARMS": "command",
    "WINDOW_S": "60",
    "POLICY": '{ name = "discounted_thompson", params = { half_life_ms = 3000 } }',
    "FLOOR": "0.1",
    "MAX_STEP": "0.1",
    "NURSERY_LABELS": "40",
    "GUARD__REWARD_FLOOR": "0.6",
}
_BROKEN: Final = 0.2
_WON: Final = 0.7
_AFTER: Final = 100
_LABELS_A_CALL: Final = 20
_PATIENCE_S: Final = 30.0

Say = Callable[[str], None]


class GatewayOptions(Struct, frozen=True, kw_only=True):
    """What a user may choose: seed, requests a second, longest time, folder of the results."""

    seed: int
    rate: float
    duration_s: float
    output: Path


def run_gateway_demo(options: GatewayOptions, console: Console) -> bool:
    """Let services of two languages decide over HTTP; return whether both saw the rollback."""

    def say(text: str) -> None:
        console.print(f"==> {text}", highlight=False, soft_wrap=True)

    if not _EXAMPLES.is_dir():
        raise SettingsError("the services are in the repository's examples: run it from a checkout")
    options.output.mkdir(parents=True, exist_ok=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-demo-")))
        servers = demo_broker(stack, folder, say, keep=False)
        rules = {f"LEVERFRAME_ROUTES__{ROUTE.upper()}__{k}": v for k, v in _RULES.items()}
        environment = {
            "LEVERFRAME_BROKER": servers,
            "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
            "LEVERFRAME_TOPICS__PREFIX": f"demo-{uuid.uuid4().hex[:6]}-",
            "LEVERFRAME_GATEWAY__PORT": "0",
            **rules,
        }
        settings = load_settings(None, environment)
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        stack.enter_context(running_worker(environment, options.output / "worker.log", keep=False))
        log = options.output / "gateway.log"
        url = stack.enter_context(_gateway(environment, log))
        say(f"the gateway answers at {url}: no service here knows Kafka")
        commands = {name: words for name, words in _services(url, folder, say).items() if words}
        return asyncio.run(_play(settings, options, url, commands, console, say))


@contextmanager
def _gateway(environment: dict[str, str], log: Path) -> Iterator[str]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "leverframe.agents.cli.main", "gateway"],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while (found := re.search(r"answering on (\S+)", log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"the gateway does not answer; see {log}")
            time.sleep(0.05)
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        process.wait()


def _services(url: str, folder: Path, say: Say) -> dict[str, list[str]]:
    """Return how each service is started; none for Node where it or its packages are missing."""
    python = [sys.executable, str(_EXAMPLES / "decide.py"), url, ROUTE]
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        say("Node is not on this machine: two services in Python")
        return {"Python": python, "Python, the other": python}
    say("fetching OpenFeature's packages for Node")
    words = [npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), *NODE]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - npm
    if done.returncode:
        say(f"they cannot be had ({done.stderr.strip()[-200:]}): two services in Python")
        return {"Python": python, "Python, the other": python}
    script = shutil.copy(_EXAMPLES / "decide.mjs", folder)
    return {"Python": python, "Node": [node, str(script), url, ROUTE]}


async def _play(
    settings: Settings,
    options: GatewayOptions,
    url: str,
    commands: dict[str, list[str]],
    console: Console,
    say: Say,
) -> bool:
    for arm in (CHAMPION, CHALLENGER):
        await ask(
            settings, ROUTE, "register_arm", arm=arm, params=None, actor="demo", timeout_s=60.0
        )
    show = _Show(options, url, say)
    async with subscriber(settings) as routing:
        show.routing = routing
        for name, words in commands.items():
            await show.begin(name, words)
        try:
            await show.run()
        finally:
            await show.end()
    return show.told(console)


class _Show:
    """Asks the services, labels what they answered, and breaks the better model once it has won."""

    def __init__(self, options: GatewayOptions, url: str, say: Say) -> None:
        self.routing: Any = None
        self._options = options
        self._url = url
        self._say = say
        self._rng = random.Random(options.seed)  # noqa: S311 - seeded on purpose
        self._services: dict[str, tuple[Service, Any]] = {}
        self._labels: list[str] = []
        self._broke_s: float | None = None
        self._rolled_back_s: float | None = None
        self._began_s = time.monotonic()
        self._told_s = 0.0

    async def begin(self, name: str, words: list[str]) -> None:
        """Start a service."""
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._services[name] = Service(name), process

    async def end(self) -> None:
        """End the services."""
        for _, process in self._services.values():
            process.stdin.close()
            await process.wait()

    async def run(self) -> None:
        """Go on until both have answered without the broken model, or time is over."""
        number = 0
        while not self._is_over():
            number += 1
            await asyncio.gather(
                *(self._ask(number, *pair) for pair in self._services.values()),
                asyncio.sleep(len(self._services) / self._options.rate),
            )
            if len(self._labels) >= _LABELS_A_CALL:
                await self._label()
            self._look()

    def _is_over(self) -> bool:
        if time.monotonic() - self._began_s > self._options.duration_s:
            return True
        return all(service.after.total() >= _AFTER for service, _ in self._services.values())

    async def _ask(self, number: int, service: Service, process: Any) -> None:
        is_after = self._rolled_back_s is not None
        request_id = f"{service.name.lower().replace(' ', '-')}-{number}"
        process.stdin.write(f"{request_id}\n".encode())
        line = (await process.stdout.readline()).decode().split()
        if len(line) != 2:
            raise BrokerError(f"the service in {service.name} has ended; see its error above")
        arm = line[1]
        service.note(arm, is_after=is_after)
        right = _BROKEN if arm == CHALLENGER and self._broke_s is not None else RIGHT[arm]
        label = int(self._rng.random() < right)
        self._labels.append(f'{{"request_id":"{request_id}","label":{label}}}')

    async def _label(self) -> None:
        """Post labels as an operator would, by curl."""
        words = ("curl", "-sS", "--fail-with-body", f"{self._url}/v1/labels", "--data-binary", "@-")
        process = await asyncio.create_subprocess_exec(
            *words, "-H", "content-type: application/x-ndjson",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate("\n".join(self._labels).encode())
        if process.returncode:
            raise BrokerError(f"the gateway did not take labels: {out.decode()[:300]}")
        self._labels.clear()

    def _look(self) -> None:
        state = self.routing.in_force(ROUTE)
        now_s = time.monotonic() - self._began_s
        services = [service for service, _ in self._services.values()]
        if now_s - self._told_s >= 2:
            self._told_s = now_s
            parts = (f"{one.name} {one.share():.0%} of its newest" for one in services)
            self._say(f"{CHALLENGER} answers: {', '.join(parts)}")
        if self._broke_s is None and min(service.share() for service in services) >= _WON:
            self._broke_s = now_s
            self._say(f"{CHALLENGER} has won in both, and breaks now")
        is_off = state is not None and CHALLENGER in state.message.quarantined
        if self._rolled_back_s is None and is_off:
            self._rolled_back_s = now_s
            self._say(f"rolled back after {now_s - (self._broke_s or 0.0):.1f} s")

    def told(self, console: Console) -> bool:
        """Print what each service did; return whether both saw the rollback."""
        table = Table(box=None, pad_edge=False)
        for title in ("service", "answers", f"by {CHALLENGER} after the rollback"):
            table.add_column(title, justify="left" if title == "service" else "right")
        for service, _ in self._services.values():
            stale = service.after[CHALLENGER]
            of = f"{stale} of {service.after.total()}"
            table.add_row(service.name, str(service.answers), of)
        console.print(table)
        services = [service for service, _ in self._services.values()]
        # The gateway hears control as the demo does, each by itself: a request may be between.
        return all(one.after.total() >= _AFTER and one.after[CHALLENGER] <= 1 for one in services)
