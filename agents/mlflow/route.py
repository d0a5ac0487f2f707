"""One route beside its registered model: looks at both, and carries out what is missing."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from leverframe.agents.mlflow.client import Mlflow
from leverframe.agents.mlflow.planning import (
    Finding,
    Mark,
    MoveAlias,
    Plan,
    Register,
    SettleAlias,
    Step,
    known_of,
    plan,
)
from leverframe.agents.mlflow.registered import alias_mark, arm_mark, marked
from leverframe.agents.mlflow.settings import MlflowRoute
from leverframe.agents.operator.commands import ask
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError
from leverframe.serving.subscriber import Subscriber

__all__ = ["RouteKeeper", "said"]

_ANSWER_S: Final = 15.0
_HEARD_S: Final = 5.0
_FIRST_WAIT_S: Final = 30.0
_LONGEST_WAIT_S: Final = 600.0


class _Refusal(Struct):
    """What the job said to a registration, and when it is asked again."""

    text: str
    wait_s: float
    again_s: float


class RouteKeeper:
    """Keeps one route and its model together.

    Parameters
    ----------
    settings : Settings
        With the route in ``[mlflow.routes]``.
    route : str
        Its name.
    registry : Mlflow
        Where the model is.
    following : Subscriber
        Which knows the route's newest message.
    clock_s : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        route: str,
        registry: Mlflow,
        following: Subscriber,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.route = route
        self.wanted: MlflowRoute = settings.mlflow.routes[route]
        self._settings = settings
        self._registry = registry
        self._following = following
        self._clock_s = clock_s
        self._refusals: dict[str, _Refusal] = {}

    async def look(self, *, take_alias: bool = False) -> Plan:
        """Return what is missing, and what cannot be mended.

        Raises ``RegistryError``.
        """
        model = await self._registry.model(self.wanted.model)
        if model is None:
            text = f"MLflow has no registered model {self.wanted.model!r}; it is waited for"
            return Plan((), (Finding("model_unknown", text),))
        known = known_of(self._following.in_force(self.route))
        found = plan(self.route, self.wanted, model, known, take_alias=take_alias)
        return self._without_refused(found)

    async def carry_out(self, step: Step) -> None:
        """Do one step of a plan; done again, or begun and left, it does no harm.

        Raises ``RegistryError``, or ``LeverframeError`` where the job refuses.
        """
        match step:
            case Register():
                await self._register(step)
                await self._mark(step.version, step.arm)
            case Mark():
                await self._mark(step.version, step.arm)
            case MoveAlias():
                await self._leave_at(step.origin, step.version)
                name, alias = self.wanted.model, self.wanted.alias
                await self._registry.set_alias(name, alias, step.version)
                await self._leave_at(step.version)
            case SettleAlias():
                await self._leave_at(step.version)

    async def _mark(self, version: int, arm: str) -> None:
        name, key = self.wanted.model, arm_mark(self.wanted.alias)
        await self._registry.mark_version(name, version, key, arm)

    async def _leave_at(self, *versions: int) -> None:
        name, key = self.wanted.model, alias_mark(self.wanted.alias)
        await self._registry.mark_model(name, key, marked(versions))

    async def _register(self, step: Register) -> None:
        params: dict[str, Any] | None = {"shadow": True} if self.wanted.start == "shadow" else None
        try:
            answer = await ask(
                self._settings,
                self.route,
                "register_arm",
                arm=step.arm,
                params=params,
                actor=self._settings.mlflow.actor,
                timeout_s=_ANSWER_S,
            )
        except LeverframeError as error:
            if await self._has_heard_of(step.arm):
                return  # another process was quicker
            self._note_refusal(step.arm, str(error))
            raise
        self._refusals.pop(step.arm, None)
        version = (answer.message.epoch, answer.message.seq)
        await self._heard(lambda: self._version() >= version)

    def _version(self) -> tuple[int, int]:
        state = self._following.in_force(self.route)
        return (-1, -1) if state is None else (state.message.epoch, state.message.seq)

    async def _has_heard_of(self, arm: str) -> bool:
        def is_there() -> bool:
            known = known_of(self._following.in_force(self.route))
            return known is not None and arm in known.arms

        return await self._heard(is_there)

    async def _heard(self, condition: Callable[[], bool]) -> bool:
        """Wait a little until the subscriber knows what the job has published."""
        deadline_s = self._clock_s() + _HEARD_S
        while not condition():
            if self._clock_s() > deadline_s:
                return False
            await asyncio.sleep(0.05)
        return True

    def _note_refusal(self, arm: str, text: str) -> None:
        """Each registration that is refused is a dead letter: they must not come at every look."""
        before = self._refusals.get(arm)
        wait_s = _FIRST_WAIT_S if before is None else min(2 * before.wait_s, _LONGEST_WAIT_S)
        self._refusals[arm] = _Refusal(text, wait_s, self._clock_s() + wait_s)

    def _without_refused(self, found: Plan) -> Plan:
        steps: list[Step] = []
        findings = [*found.findings]
        for step in found.steps:
            refusal = self._refusals.get(step.arm) if isinstance(step, Register) else None
            if refusal is None or self._clock_s() >= refusal.again_s:
                steps.append(step)
            else:
                findings.append(Finding("refused", f"version {step.version}: {refusal.text}"))
        return Plan(tuple(steps), tuple(findings))


def said(step: Step, wanted: MlflowRoute) -> str:
    """Return a step in words, as what is to be done.

    Examples
    --------
    >>> said(MoveAlias(2, 3, "fraud-3"), MlflowRoute(model="fraud"))
    "move the alias 'champion' of 'fraud' from version 2 to version 3, the champion 'fraud-3'"
    """
    match step:
        case Register():
            where = "in shadow" if wanted.start == "shadow" else "in the nursery"
            version = f"version {step.version} of {wanted.model!r}"
            return f"register {version} as arm {step.arm!r}, {where}"
        case Mark():
            version = f"version {step.version} of {wanted.model!r}"
            return f"mark {version}: it is arm {step.arm!r} already"
        case MoveAlias():
            origin = f"from version {step.origin} " if step.origin else ""
            return (
                f"move the alias {wanted.alias!r} of {wanted.model!r} {origin}to version "
                f"{step.version}, the champion {step.arm!r}"
            )
        case SettleAlias():
            alias = f"the alias {wanted.alias!r} of {wanted.model!r}"
            return f"note that {alias} is at version {step.version}"
