"""Whatever happens beside it, and wherever it is cut off: registry and route come to agree."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from leverframe.agents.mlflow.client import Mlflow
from leverframe.agents.mlflow.planning import Known, Mark, Register, plan
from leverframe.agents.mlflow.registered import Model, Version, alias_mark
from leverframe.agents.mlflow.route import RouteKeeper
from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import RegistryError
from leverframe.serving.subscriber import Subscriber

SETTINGS = load_settings(
    None, {"LEVERFRAME_MLFLOW__URL": "http://none", "LEVERFRAME_MLFLOW__ROUTES__R__MODEL": "m"}
)


class Server:
    """A registry of one model, which may be cut off after some writes."""

    def __init__(self) -> None:
        self.at = 0
        self.tags: dict[str, str] = {}
        self.versions: list[dict[str, str]] = []
        self.writes_left = 0

    @property
    def state(self) -> Model:
        versions = (Version(n, "READY", dict(tags)) for n, tags in enumerate(self.versions, 1))
        aliases = {"champion": self.at} if self.at else {}
        return Model("m", aliases, dict(self.tags), tuple(versions))

    def write(self, change: Callable[[], None]) -> None:
        if self.writes_left == 0:
            raise RegistryError("cut off")
        self.writes_left -= 1
        change()

    async def mark_version(self, _: str, version: int, key: str, value: str) -> None:
        self.write(lambda: self.versions[version - 1].update({key: value}))

    async def mark_model(self, _: str, key: str, value: str) -> None:
        self.write(lambda: self.tags.update({key: value}))

    async def set_alias(self, _: str, __: str, version: int) -> None:
        self.write(lambda: setattr(self, "at", version))


class World:
    """The registry, the route, and everything that happens to them."""

    def __init__(self) -> None:
        self.server = Server()
        self.arms: list[str] = []
        self.registered: list[str] = []
        self.champion: str | None = None
        following = Subscriber("127.0.0.1:1")
        self.keeper = RouteKeeper(SETTINGS, "r", cast("Mlflow", self.server), following)

    @property
    def known(self) -> Known | None:
        return Known(frozenset(self.arms), self.champion) if self.registered else None

    def plan(self) -> Any:
        return plan("r", self.keeper.wanted, self.server.state, self.known)

    def publish(self, _: int) -> None:
        self.server.versions.append({})

    def promote(self, number: int) -> None:
        if self.arms:
            self.champion = self.arms[number % len(self.arms)]

    def retire(self, number: int) -> None:
        others = [arm for arm in self.arms if arm != self.champion]
        if others:
            self.arms.remove(others[number % len(others)])

    def touch(self, number: int) -> None:
        """Somebody sets or takes away the alias by hand."""
        self.server.at = number % (len(self.server.versions) + 1)

    def run(self, writes: int) -> None:
        """One pass, cut off after so many writes."""
        self.server.writes_left = writes
        for step in self.plan().steps:
            try:
                asyncio.run(self.carry_out(step))
            except RegistryError:
                return

    async def carry_out(self, step: Any) -> None:
        if isinstance(step, Register):
            if step.arm in self.registered:
                return  # retired before we could mark it: the job refuses, and we go on
            self.arms.append(step.arm)
            self.registered.append(step.arm)
            self.champion = self.champion or step.arm
            step = Mark(step.version, step.arm)
        await self.keeper.carry_out(step)


def events(*names: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 5)), max_size=25)


# Three arms, so that champions can follow each other while something is cut off.
BEGUN = [("publish", 0), ("run", 1000), ("publish", 0), ("publish", 0), ("run", 1000)]


def played(history: list[tuple[str, int]]) -> World:
    world = World()
    for name, number in history:
        getattr(world, name)(number)
    return world


@settings(max_examples=80, deadline=None)
@example(5, [("promote", 1), ("run", 1), ("promote", 2)])
@example(5, [("promote", 1), ("run", 2), ("promote", 2)])
@given(st.sampled_from([1, 5]), events("publish", "promote", "promote", "run", "run", "run"))
def test_comes_to_agree_wherever_it_was_cut_off(begun: int, history: list[tuple[str, int]]) -> None:
    """The alias is the champion's, each version was registered once, and a second pass is empty."""
    world = played([*BEGUN[:begun], *history])
    for _ in range(3):
        world.run(1000)
    assert world.plan().steps == ()
    assert world.plan().findings == ()
    assert world.champion == f"m-{world.server.at}"
    assert world.server.tags[alias_mark("champion")] == str(world.server.at)
    assert len(set(world.registered)) == len(world.registered)


@settings(max_examples=80, deadline=None)
@given(events("publish", "promote", "retire", "run", "run"), st.integers(0, 5), st.integers(0, 5))
def test_leaves_alone_what_somebody_else_set(
    history: list[tuple[str, int]], to: int, promoted: int
) -> None:
    """A hand that moves the alias wins, until it is back at the champion."""
    world = played([*BEGUN, *history])
    for _ in range(3):
        world.run(1000)
    world.touch(to)
    hand = world.server.at
    world.promote(promoted)
    if world.champion == f"m-{hand}" or world.server.tags[alias_mark("champion")] == str(hand):
        return
    for _ in range(3):
        world.run(1000)
    assert world.server.at == hand
    assert [finding.word for finding in world.plan().findings] == ["alias_moved"]
