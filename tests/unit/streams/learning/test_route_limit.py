"""How many routes may begin, and heartbeats under a wall clock that jumps."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from patience import PATIENCE_S
from records import learning_runs, reward_record

from leverframe.agents.settings import load_settings
from leverframe.agents.worker.inputs import Inputs
from leverframe.agents.worker.learning import LearningShell
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.applied import RoutesInForce
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings
from leverframe.streams.runtime.ledger import Positions
from leverframe.streams.runtime.runs import Run


def test_routes_beyond_the_room_are_dead_letters() -> None:
    """Routes that are named, or known already, are never refused; neither are later labels."""
    routes = Routes({"named": RouteSettings()}, RouteSettings())
    records = [reward_record("a", 1.0, route=f"r{number % 50}") for number in range(200)]
    records.append(reward_record("a", 1.0, route="named"))
    out = learn(learning_runs(records), {}, routes, max_value_bytes=10_000, new_routes_left=3)
    assert set(out.states) == {"r0", "r1", "r2", "named"}
    assert Counter(letter.reason for letter in out.dead_letters) == {"limit": 188}
    more = [reward_record("a", 1.0, route=name) for name in ("r0", "r4", "named")]
    again = learn(
        learning_runs(more), out.states, routes, max_value_bytes=10_000, new_routes_left=0
    )
    assert [letter.key for letter in again.dead_letters] == [b"r4"]


class FakeLedger:
    """Keeps what is committed, in memory."""

    partition = 0

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes | None] = {}
        self.outputs: list[Any] = []
        self.positions = Positions()

    def scan(self, begin: bytes) -> Any:
        return iter([(k, v) for k, v in sorted(self.entries.items()) if k >= begin])

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    async def begin_commit(self, changes: Any, outputs: Any, positions: Any) -> Any:
        self.entries |= changes
        self.outputs += outputs
        self.positions = positions or self.positions
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def test_heartbeats_go_on_when_the_wall_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber must not fall back to safe weights because a clock was corrected."""
    settings = load_settings(None, {"LEVERFRAME_TOPICS__ROUTE_PARTITIONS": "1"})
    ledger: Any = FakeLedger()
    inputs = Inputs(None, settings, {}, pytest.fail)
    routes = RoutesInForce(Routes({}, RouteSettings(ttl_s=0.03)))
    work = LearningShell(settings, routes, inputs).begin(ledger)
    topic = settings.topic_names.rewards

    async def beats() -> list[ControlMessage]:
        await work.handle([Run(topic, [reward_record("a", 1.0)])])
        honest = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: honest() - 3_600_000_000_000)
        begin = len(ledger.outputs)
        deadline = time.monotonic() + PATIENCE_S
        while len(ledger.outputs) < begin + 2 and time.monotonic() < deadline:
            await work.tick({})
            await asyncio.sleep(0.005)
        return [decode(ControlMessage, output.value) for output in ledger.outputs[begin:]]

    found = asyncio.run(beats())
    assert [message.kind for message in found] == ["heartbeat", "heartbeat"]
