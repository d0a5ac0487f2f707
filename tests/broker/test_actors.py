"""Signed commands on a real broker: who may is obeyed, who may not is told so by name."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import Script, control_messages, produce, read_all, wait_for_count
from patience import PATIENCE_S, eventually

from leverframe.schemas.codec import decode
from leverframe.schemas.command import Command

pytestmark = pytest.mark.broker

ACTORS = """
[actors.alice]
roles = { "*" = "operator" }

[actors.bob]
roles = { "*" = "observer", "route-1" = "approver" }
"""
KEYS = {
    "LEVERFRAME_ACTORS__ALICE__KEY": "the-key-of-alice",
    "LEVERFRAME_ACTORS__BOB__KEY": "the-key-of-bob-1",
}


def run(deployment: Any, config: Path, *words: str, **more: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", *words, "--config", str(config)],
        env={**os.environ, **deployment.environment, **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_commands_count_by_who_signed_them(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """An operator's, no observer's, no stranger's, and no copy; a worker wants all keys."""
    config = tmp_path / "actors.toml"
    config.write_text(ACTORS)

    async def drill() -> None:
        deployment = await deploy(LEVERFRAME_CONFIG=str(config))
        keyless = await asyncio.to_thread(run, deployment, config, "worker")
        assert keyless.returncode == 2, keyless.stderr
        assert "LEVERFRAME_ACTORS__ALICE__KEY, LEVERFRAME_ACTORS__BOB__KEY" in keyless.stderr
        words = ("-m", "leverframe.agents.cli.main", "worker", "--config", str(config))
        deployment.start(command=words, **KEYS)
        await produce(deployment, Script(pairs=40, seed=5, routes=2), 400)
        await wait_for_count(deployment, 40)

        async def ask(*said: str, **env: str) -> Any:
            return await asyncio.to_thread(run, deployment, config, *said, **env)

        alice = {"LEVERFRAME_ACTOR": "alice", **KEYS}
        bob = {"LEVERFRAME_ACTOR": "bob", **KEYS}
        done = await ask("freeze", "route-0", **alice)
        assert done.returncode == 0, done.stderr
        assert "freeze by alice" in done.stdout
        refused = await ask("unfreeze", "route-0", **bob)
        assert refused.returncode != 0
        assert "'bob' is observer of 'route-0'" in refused.stderr
        assert (await ask("freeze", "route-1", **bob)).returncode == 0
        stranger = await ask("freeze", "route-0", LEVERFRAME_ACTOR="eve")
        assert "no actor of the settings" in stranger.stderr
        assert stranger.returncode == 2
        keyless = await ask("freeze", "route-0", LEVERFRAME_ACTOR="alice")
        assert "LEVERFRAME_ACTORS__ALICE__KEY" in keyless.stderr

        before = (await control_messages(deployment))["route-0"]
        await _send_again(deployment, forge=False)
        await _send_again(deployment, forge=True)
        letters = deployment.settings.topic_names.dead_letters

        async def are_set_aside() -> bool:
            found = await read_all(deployment.settings.broker.servers, letters, 2)
            reasons = [dict(one.headers)["leverframe.reason"] for one in found]
            return reasons.count(b"forbidden") == 2  # bob's, and the forged one

        await eventually(are_set_aside, deployment.logs)
        after = (await control_messages(deployment))["route-0"]
        changed = [one for one in after[len(before) :] if one.kind != "heartbeat"]
        assert changed == []

    asyncio.run(drill())


async def _send_again(deployment: Any, *, forge: bool) -> None:
    """Copy a command with its signature, or its signature to another command."""
    settings = deployment.settings
    topic, servers = settings.topic_names.commands, settings.broker.servers
    own, *_ = [
        one
        for one in await read_all(servers, topic, 2)
        if (said := decode(Command, one.value)).action == "freeze" and said.route == "route-0"
    ]
    value = own.value.replace(b'"freeze"', b'"unfreeze"') if forge else own.value
    if forge:
        value = value.replace(b'"command_id":"', b'"command_id":"x')
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(topic, value, key=own.key, headers=list(own.headers))
