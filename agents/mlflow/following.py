"""The process of ``leverframe mlflow``: one look, one pass, or until it is told to end."""

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final

from leverframe.agents.mlflow.client import Mlflow
from leverframe.agents.mlflow.planning import Plan
from leverframe.agents.mlflow.route import RouteKeeper, said
from leverframe.agents.operator.actors import secret_of
from leverframe.agents.operator.control import subscriber
from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LeverframeError, RegistryError, SettingsError
from leverframe.streams.runtime.logger import make_logger

__all__ = ["check_mlflow", "follow_models", "look_at_models", "mend_models"]

log = make_logger(__name__)

# A registration may make a champion, and that moves the alias.
_PASSES: Final = 4

Tell = Callable[[str], None]


def check_mlflow(settings: Settings, take_alias: Collection[str], *, applies: bool) -> None:
    """Refuse to begin with settings that cannot work.

    Raises ``SettingsError``: with what is missing.
    """
    ours = settings.mlflow
    if not ours.url:
        raise SettingsError("mlflow.url: missing; it is the address of MLflow's tracking server")
    if not ours.routes:
        raise SettingsError(
            "mlflow.routes: missing; say which registered model belongs to which route: "
            '[mlflow.routes.ROUTE] model = "..."'
        )
    if unknown := sorted(set(take_alias) - set(ours.routes)):
        raise SettingsError(
            f"--take-alias {unknown[0]}: no such route in [mlflow.routes]; it has "
            + ", ".join(sorted(ours.routes))
        )
    if applies:
        secret_of(ours.actor, settings.actors)


async def look_at_models(settings: Settings, take_alias: Collection[str]) -> dict[str, Plan]:
    """Return what is to be done, by route; change nothing."""
    async with Mlflow(settings.mlflow) as registry, subscriber(settings) as following:
        keepers = [RouteKeeper(settings, name, registry, following) for name in _routes(settings)]
        return {one.route: await one.look(take_alias=one.route in take_alias) for one in keepers}


async def mend_models(
    settings: Settings, take_alias: Collection[str], tell: Tell
) -> dict[str, Plan]:
    """Do once what is to be done, and return what is left of it, by route."""
    left = {}
    async with Mlflow(settings.mlflow) as registry, subscriber(settings) as following:
        for name in _routes(settings):
            keeper = RouteKeeper(settings, name, registry, following)
            for _ in range(_PASSES):
                left[name] = found = await keeper.look(take_alias=name in take_alias)
                if not found.steps:
                    break
                await _carry_out(keeper, found, tell, tell)
    return left


async def follow_models(settings: Settings, take_alias: Collection[str]) -> None:
    """Follow both until SIGTERM or SIGINT; whatever is cut off then is done after the next start.

    A registry or a broker that is away is waited for.
    """
    turns = {name: asyncio.Event() for name in settings.mlflow.routes}
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    champions = _Champions(turns)
    following = subscriber(settings, on_routing=champions.note)
    async with Mlflow(settings.mlflow) as registry, following:
        log.info("mlflow_follows", message=f"following MLflow at {settings.mlflow.url}")
        keeping = [
            asyncio.create_task(
                _keep(
                    RouteKeeper(settings, name, registry, following),
                    turn,
                    settings.mlflow.poll_s,
                    take_alias=name in take_alias,
                )
            )
            for name, turn in turns.items()
        ]
        told = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({told, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (told, *keeping):
                task.cancel()
        ended = await asyncio.gather(*keeping, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    log.info("mlflow_stopped", message="stopped")


class _Champions:
    """Wakes whoever keeps a route when its champion is another."""

    def __init__(self, turns: Mapping[str, asyncio.Event]) -> None:
        self._turns = turns
        self._champions: dict[str, str | None] = {}

    def note(self, message: ControlMessage) -> None:
        """Take a message that has come into force."""
        turn = self._turns.get(message.route)
        if turn is not None and self._champions.get(message.route, "") != message.champion:
            self._champions[message.route] = message.champion
            turn.set()


async def _keep(
    keeper: RouteKeeper, turn: asyncio.Event, poll_s: float, *, take_alias: bool
) -> None:
    teller = _Teller(keeper.route)
    while True:
        turn.clear()
        try:
            found = await keeper.look(take_alias=take_alias)
            teller.findings(found)
            await _carry_out(keeper, found, teller.done, teller.failed)
            take_alias = False  # once: what is set later is theirs again
        except RegistryError as error:
            teller.away(str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(turn.wait(), poll_s)


async def _carry_out(keeper: RouteKeeper, found: Plan, done: Tell, failed: Tell) -> None:
    """Carry out all that can be: an arm that is refused keeps no other from being registered."""
    for step in found.steps:
        text = said(step, keeper.wanted)
        try:
            await keeper.carry_out(step)
        except RegistryError:
            raise
        except LeverframeError as error:
            failed(f"{keeper.route}: cannot {text}: {error}")
        else:
            done(f"{keeper.route}: done: {text}")


class _Teller:
    """Writes to the log what is done, and what is left when it is told for the first time."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._left: set[str] = set()
        self._away = ""

    def findings(self, found: Plan) -> None:
        """Tell what is left as it is; the registry answers."""
        if self._away:
            self._away = ""
            log.info("mlflow_back", message="MLflow answers again", route=self._route)
        for finding in found.findings:
            if finding.text not in self._left:
                text = f"{self._route}: {finding.text}"
                log.warning("mlflow_left", message=text, route=self._route, finding=finding.word)
        self._left = {finding.text for finding in found.findings}

    def done(self, text: str) -> None:
        """Tell of a step that was made."""
        log.info("mlflow_done", message=text, route=self._route)

    def failed(self, text: str) -> None:
        """Tell of a step that the job, or its broker, refused."""
        log.warning("mlflow_refused", message=text, route=self._route)

    def away(self, text: str) -> None:
        """Tell of an outage, once."""
        if text != self._away:
            self._away = text
            log.warning("mlflow_away", message=f"{text}; it is asked again", route=self._route)


def _routes(settings: Settings) -> list[str]:
    return sorted(settings.mlflow.routes)
