"""The example of conversations: a model gateway, a chat, a judge, beside a real worker."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from estate import steer
from harness import Deployment, read_all, route_states
from patience import PATIENCE_S, eventually, until

from examples.chat import TURNS, complete, verdicts
from leverframe.schemas.codec import decode
from leverframe.schemas.measurements import METRICS_KEY, Measurements
from leverframe.schemas.reward import Reward

pytestmark = [pytest.mark.broker, pytest.mark.drill]

ROOT = Path(__file__).parents[2]
CONVERSATIONS = 150
ARMS = ("helper-1", "helper-2", "helper-3")
SETTINGS = {"LEVERFRAME_CONFIG": str(ROOT / "examples" / "assistant.toml")}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    log = tmp_path / "model-gateway.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "examples.model_gateway", "--port", "0"]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
        try:
            found = until(lambda: re.search(r"answering on (\S+)", log.read_text()), log.read_text)
            yield found[1]
        finally:
            process.terminate()
            process.wait()


def test_conversations_teach_which_model_helps(deploy: Callable[..., Any], gateway: str) -> None:
    """Each conversation is one reward, by its user; what the judge says is told apart."""

    async def scenario() -> None:
        deployment: Deployment = await deploy(**SETTINGS)
        deployment.start()
        for arm in ARMS:
            done = await asyncio.to_thread(steer, deployment, "arm", "register", "assistant", arm)
            assert done.returncode == 0, done.stderr
        words = ["assistant", "--conversations", str(CONVERSATIONS), "--gateway", gateway]
        chat = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "examples.chat", *words],
            env={**os.environ, **deployment.environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert chat.returncode == 0, chat.stderr
        assert set(json.loads(chat.stdout)) == set(ARMS)
        settings = deployment.settings
        topic, partitions = settings.topic_names.rewards, settings.topics.route_partitions

        async def told(*, by_judge: bool) -> list[Any]:
            found = await read_all(settings.broker.servers, topic, partitions)
            kind = Measurements if by_judge else Reward
            mine = (one for one in found if one.key.startswith(METRICS_KEY) == by_judge)
            return [decode(kind, one.value) for one in mine]

        async def rewards() -> list[Reward]:
            return await told(by_judge=False)

        async def scores() -> list[float]:
            said = await told(by_judge=True)
            return [one.values["judge"] for record in said for one in record.measured]

        async def all_of_them() -> bool:
            return min(len(await rewards()), len(await scores())) >= CONVERSATIONS

        await eventually(all_of_them, deployment.logs)
        assert len(await scores()) == CONVERSATIONS
        assert set(await scores()) <= {number / TURNS for number in range(TURNS + 1)}
        counted = {one.request_id: one.reward for one in await rewards()}
        assert len(counted) == CONVERSATIONS == len(await rewards())
        arms = {one.request_id: one.arm for one in await rewards()}
        for number in range(CONVERSATIONS):
            last = f"chat-{number}/{TURNS - 1}"
            question = f"question {TURNS - 1} of chat-{number}"
            text, _ = await asyncio.to_thread(complete, gateway, arms[last], question)
            assert counted[last] == verdicts("", [text])[0].label

        async def learned() -> bool:
            state = (await route_states(deployment)).get("assistant")
            return state is not None and sum(arm.count for arm in state.arms.values()) == len(arms)

        await eventually(learned, deployment.logs)
        assert "Traceback" not in deployment.logs()

    asyncio.run(scenario())
