"""The demo's stories and what it counts of them, without a broker."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from control_records import T0, message

from leverframe.agents.settings import load_settings
from leverframe.experiments.demo.command import demo
from leverframe.experiments.demo.models import CHALLENGER, CHAMPION
from leverframe.experiments.demo.stories import STORIES
from leverframe.experiments.demo.summary import Milestones, summarize
from leverframe.schemas.reward import Reward
from leverframe.streams.routes.route import compile_routes


@pytest.mark.parametrize("name", sorted(STORIES))
def test_each_story_has_settings_that_exist(name: str) -> None:
    """They compile, and the command offers the story."""
    story = STORIES[name]
    keys = {f"LEVERFRAME_ROUTES__R__{key}": value for key, value in story.rules.items()}
    route = compile_routes(load_settings(None, keys).routes).get("r")
    assert route is not None
    assert route.settings.label_depends_on_answer == (name != "shadow")
    [choice] = [one.type for one in demo.params if one.name == "scenario"]
    assert name in choice.choices  # type: ignore[attr-defined]


def reward(arm: str, at_ms: int, **more: Any) -> Reward:
    return Reward(
        request_id="0-0", route="shuttle", arm=arm, reward=1.0, predicted_at_ms=at_ms,
        labelled_at_ms=at_ms, attributed_at_ms=at_ms, **more,
    )  # fmt: skip


def test_what_nobody_was_given_is_in_no_mean() -> None:
    """Means and labels are of served answers; the deciding label counts answers in shadow too."""
    broken_ms = T0 + 100
    rollback = {"why": "guard", "arm": CHALLENGER, "record": {"partition": 0, "offset": 4}}
    off = message(3, T0, kind="rollback", cause=rollback)
    proof = {"why": "better", "arm": CHALLENGER, "pairs": 12}
    quarantined = type(off)(
        **{n: getattr(off, n) for n in off.__struct_fields__ if n != "quarantined"},
        quarantined=[CHALLENGER],
    )
    observer: Any = SimpleNamespace(
        rewards=[
            (1.0, reward(CHAMPION, T0)),
            (1.1, reward(CHALLENGER, T0, served=False)),
            (2.0, reward(CHALLENGER, broken_ms)),
            (2.1, reward(CHALLENGER, broken_ms, served=False)),
            (2.2, reward(CHALLENGER, broken_ms)),
        ],
        offsets=[0, 1, 3, 4, 5],
        messages=[
            (0.5, message(1, T0, kind="routing", weights={CHAMPION: 1.0, CHALLENGER: 0.0})),
            (1.5, message(2, T0, kind="promotion", cause=proof)),
            (2.5, quarantined),
        ],
        health={},
    )
    milestones = Milestones(
        registered_s=0.9, shifted_s=1.5, broken_s=1.9, broken_ms=broken_ms, rolled_back_s=2.15
    )
    data: Any = SimpleNamespace(features=np.zeros((1, 9)), labels=np.ones(1))
    model: Any = SimpleNamespace(predict=lambda rows: [1] * len(rows))
    summary = summarize(observer, milestones, data, {CHAMPION: model})
    assert (summary.rewards, summary.labels_until_shift) == (3, 1)
    assert summary.labels_until_rollback == 1
    assert summary.labels_until_decision == 2
    assert (summary.proved_on_pairs, summary.share_before_proof) == (12, 0.0)
