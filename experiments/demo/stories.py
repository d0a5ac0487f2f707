"""The stories that the demo can tell: what is registered when, what breaks, what is waited for."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from leverframe.experiments.demo.acts import Act
from leverframe.experiments.demo.models import ARMS, BYSTANDER, CHALLENGER, CHAMPION
from leverframe.experiments.demo.observer import Observer
from leverframe.experiments.demo.stage import Stage
from leverframe.experiments.demo.summary import Milestones

__all__ = ["STORIES", "Scene", "Story"]

# Labels that are needed before the next act, so that each is seen to be decided by data.
_QUIET_LABELS: Final = 300
_LEAD_LABELS: Final = 6000
_LEAD_LABELS_SHADOW: Final = 2000
# The shift takes some 2,000 labels and the rollback some 1,000: with this many it is not slow, it
# does not happen.
_MOST_LABELS: Final = 40_000


class Scene(Struct, frozen=True, kw_only=True):
    """Where a story is told.

    Attributes
    ----------
    register : callable
        Registers an arm, with the parameters of the command; returns when the job has answered.
    observer : Observer
        Started.
    stage : Stage
        That waits for its acts.
    say : callable
        Takes lines for the user.
    broken : Event
        Set to corrupt the input of the challenger.
    rate : float
        Requests a second.
    places_off : int
        How the challenger's columns lie once it is broken.
    """

    register: Callable[[str, dict[str, Any] | None], Awaitable[None]]
    observer: Observer
    stage: Stage
    say: Callable[[str], None]
    broken: Any
    rate: float
    places_off: int


Tell: TypeAlias = Callable[[Scene, Milestones], Awaitable[None]]


class Story(Struct, frozen=True, kw_only=True):
    """A story of four moments: the challenger arrives, has the traffic, breaks, is off the line.

    Attributes
    ----------
    rules : mapping
        Settings of the route, as in the environment.
    marks : tuple of str
        What the picture says of the four moments.
    tell : callable
        Plays it, and notes the moments.
    rate : float
        Requests a second, if nobody says otherwise.
    places_off : int
        How the challenger's columns lie once it is broken.
    """

    rules: Mapping[str, str]
    marks: tuple[str, str, str, str]
    tell: Tell
    rate: float
    places_off: int


async def _rollback(scene: Scene, milestones: Milestones) -> None:
    for arm in ARMS:
        if arm != CHALLENGER:
            await scene.register(arm, None)
    scene.say(
        f"two models serve at {scene.rate:.0f} requests a second; labels come about a second late"
    )
    await scene.stage.wait_for(Act(goal="labels", labels=_QUIET_LABELS, arm=CHALLENGER))
    scene.say(f"a better model arrives: {CHALLENGER} (random forest, all nine sensors)")
    milestones.registered_s = scene.observer.now_s
    await scene.register(CHALLENGER, None)
    await _win_and_break(scene, milestones, _LEAD_LABELS)


async def _shadow(scene: Scene, milestones: Milestones) -> None:
    await scene.register(CHAMPION, None)
    await scene.register(BYSTANDER, {"shadow": True})
    scene.say(
        f"{CHAMPION} serves {scene.rate:.0f} requests a second, {BYSTANDER} answers beside it, in "
        "shadow; labels come about a second late, and judge both"
    )
    await scene.stage.wait_for(Act(goal="labels", labels=_QUIET_LABELS, arm=CHALLENGER))
    scene.say(f"a new model arrives, in shadow: {CHALLENGER} (random forest, all nine sensors)")
    milestones.registered_s = scene.observer.now_s
    await scene.register(CHALLENGER, {"shadow": True})
    await _win_and_break(scene, milestones, _LEAD_LABELS_SHADOW)


async def _win_and_break(scene: Scene, milestones: Milestones, lead_labels: int) -> None:
    observer, stage, say = scene.observer, scene.stage, scene.say
    await stage.wait_for(Act(goal="traffic", labels=_MOST_LABELS, arm=CHALLENGER))
    milestones.shifted_s = observer.now_s
    say(f"{CHALLENGER} has most of the traffic")
    await stage.wait_for(Act(goal="labels", labels=lead_labels, arm=CHALLENGER))
    say(
        f"now its input is corrupted on purpose: {CHALLENGER} sees its columns "
        f"{scene.places_off} places off"
    )
    milestones.broken_s = observer.now_s
    milestones.broken_ms = time.time_ns() // 1_000_000
    scene.broken.set()
    await stage.wait_for(
        Act(goal="rollback", labels=_MOST_LABELS, arm=CHALLENGER, is_rollback_wrong=False)
    )
    milestones.seen_ms = time.time_ns() / 1e6
    milestones.rolled_back_s = observer.now_s
    say(f"{CHALLENGER} is off the line")
    await stage.wait_for(
        Act(goal="labels", labels=_QUIET_LABELS, arm=CHALLENGER, is_rollback_wrong=False)
    )


STORIES: Final[Mapping[str, Story]] = {
    "rollback": Story(
        rules={
            "POLICY": '{ name = "discounted_thompson", params = { half_life_ms = 3000 } }',
            "FLOOR": "0.1",
            "MAX_STEP": "0.05",
            "NURSERY_LABELS": "40",
            # Labels of the reference are a second late: a floor convicts before they come.
            "GUARD__REWARD_FLOOR": "0.8",
        },
        marks=("forest-v2 arrives", "it wins traffic", "its input breaks", "rolled back"),
        tell=_rollback,
        rate=600.0,
        places_off=4,
    ),
    "shadow": Story(
        rules={
            # Whether a reading is an anomaly does not depend on what a model said.
            "LABEL_DEPENDS_ON_ANSWER": "false",
            "SHADOW_SHARE": "1.0",
            "POLICY": '"paired_leader"',
            "MAX_STEP": "1.0",
            # Three labels of each request: on a slow machine they come in bursts.
            "DECISION_LABELS": "30",
        },
        marks=("forest-v2 arrives, in shadow", "proved: it serves", "its input breaks",
               "rolled back"),
        tell=_shadow,
        # Three answers to each request.
        rate=100.0,
        places_off=3,
    ),
}  # fmt: skip
"""By the name of the scenario."""
