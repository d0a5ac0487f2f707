"""Users with many requests on a real broker: kills, a lost disk, a recount, and the replay."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from harness import (
    SHORT_SESSION,
    Deployment,
    Script,
    control_messages,
    lose_disk,
    produce,
    read_all,
    settled_states,
    verify,
    wait_for_rewards,
)

from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.worker.learning import input_kinds
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import salt_of, state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Users(Script):
    """Two routes of 200 users; a tenth of the requests name nobody."""

    routes: int = 2

    def events(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield pairs; each label comes 20 pairs after its prediction."""
        rng = random.Random(self.seed)
        late: list[tuple[str, bytes, bytes]] = []
        for i in range(self.pairs):
            request_id = f"{self.seed}-{i}"
            prediction = Prediction(
                request_id=request_id,
                route=f"route-{i % self.routes}",
                arm=f"arm-{rng.randrange(self.arms)}",
                prediction=1,
                propensity=1 / self.arms,
                unit_id=f"user-{rng.randrange(200)}" if rng.random() < 0.9 else None,
            )
            label = GroundTruth(request_id=request_id, label=int(rng.random() < 0.8))
            yield "predictions", request_id.encode(), encode(prediction)
            late.append(("ground-truth", request_id.encode(), encode(label)))
            if len(late) > 20:
                yield late.pop(0)
        yield from late


async def recounted(deployment: Deployment) -> Counter[tuple[str, str]]:
    """Count from the rewards alone whom the guard must have seen, by route and arm."""
    topics, seen, counts = deployment.settings.topic_names, set(), Counter[tuple[str, str]]()
    partitions = deployment.settings.topics.route_partitions
    servers = deployment.settings.broker.servers
    for record in await read_all(servers, topics.rewards, partitions):
        reward = decode(Reward, record.value)
        served_ms = min(reward.predicted_at_ms, reward.attributed_at_ms)
        unit = reward.route, reward.unit_id, served_ms // HOUR_MS
        if reward.unit_id is None or unit not in seen:
            counts[reward.route, reward.arm] += 1
        seen.add(unit)
    return counts


def test_units_count_once_over_a_kill_and_in_a_replay(deploy: Callable[..., Any]) -> None:
    """Each user's first label of the hour, also when the worker and its disk are lost half-way."""

    async def scenario() -> None:
        anew = {"LEVERFRAME_ROUTES__*__REASSIGN_UNITS": "1h"}
        deployment = await deploy(**SHORT_SESSION, **anew)
        settings = deployment.settings
        script = Users(pairs=4000, seed=61)
        worker = deployment.start()
        producing = asyncio.create_task(produce(deployment, script, per_second=2000))
        await wait_for_rewards(deployment, 1000)
        worker.kill()
        worker.wait()
        lose_disk(deployment)
        deployment.start()
        await producing
        await verify(deployment, script)
        live, expected = await settled_states(deployment), await recounted(deployment)
        found = {
            (route, name): arm.first_count
            for route, state in live.items()
            for name, arm in state.arms.items()
        }
        assert found == expected
        assert 400 < sum(found.values()) < 2000
        for name, state in live.items():
            replayed = replay(
                await read_partition(settings, name),
                compile_routes(settings.routes),
                input_kinds(settings),
                max_value_bytes=settings.app.max_value_bytes,
            )
            assert state_digest(replayed[name]) == state_digest(state)
        for name, messages in (await control_messages(deployment)).items():
            hours = range(messages[0].issued_at_ms // HOUR_MS, messages[-1].issued_at_ms // HOUR_MS)
            salts = {salt_of(name, hour) for hour in (*hours, hours.stop)}
            assert {message.salt for message in messages} <= salts

    asyncio.run(scenario())
