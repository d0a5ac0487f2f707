"""A ramp lives through ``kill -9``, a lost disk and the move to another worker; a replay agrees."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run, steer
from harness import SHORT_SESSION, control_messages, lose_disk
from patience import eventually
from two_arms import Serving, newest, replayed

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"
_PLAN = ("--steps", "10,30,60,100", "--dwell", "1s", "--min-labels", "30", "--gate", "not_harmful")


def test_ramp_goes_on_where_it_was(deploy: Callable[..., Any]) -> None:
    """Two kills on the way: each step is taken once, in order, and the arm ends as champion."""

    async def drill() -> None:
        deployment = await deploy(
            **SHORT_SESSION,
            LEVERFRAME_TOPICS__PARTITIONS="1",
            LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1",
            **{
                _ROUTE + "POLICY": '{ name = "static", params = { weights = { a = 1.0 } } }',
                _ROUTE + "TTL_S": "3",
            },
        )
        worker = deployment.start("w0")
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Serving(deployment, producer, 7)
            await serving.serve(1, 0.0, a=0.9, b=0.9)
            await serving.serve(300, 0.2, a=0.9, b=0.9)

            async def are_known() -> bool:
                message = await newest(deployment)
                return message is not None and set(message.weights) == {"a", "b"}

            await eventually(are_known, deployment.logs)
            begun = await asyncio.to_thread(steer, deployment, "ramp", "r", "b", *_PLAN)
            assert begun.returncode == 0, begun.stderr
            message = await newest(deployment)
            assert message is not None
            assert message.weights == {"a": 0.9, "b": 0.1}
            kills = 0
            while message.champion != "b" or kills < 2:  # a slow look may miss the steps between
                share = message.weights["b"]
                assert serving.sent < 20_000, deployment.logs()
                await serving.serve(250, share, a=0.9, b=0.9)
                if share > 0.2 and kills < 2:
                    kills += 1
                    worker.kill()
                    worker.wait()
                    if kills == 1:
                        lose_disk(deployment, "w0")
                    worker = deployment.start(f"w{kills % 2}")
                message = await newest(deployment)
                assert message is not None

            async def agrees() -> bool:
                told = await newest(deployment)
                return told is not None and await replayed(deployment) == told.state_digest

            await eventually(agrees, deployment.logs)
            assert kills == 2
            told = [
                (one.cause["step"], one.cause["at"])
                for one in (await control_messages(deployment))["r"]
                if one.cause.get("why") == "ramp" and one.cause["step"] != "waiting"
            ]
            assert told == [("moved", 2), ("moved", 3), ("done", 4)]
            shown = await asyncio.to_thread(run, deployment, "explain", "r", "--last", "100")
            assert "b ramps to 0.3 of the traffic, step 2 of 4, through its gate" in shown.stdout
            assert "b became champion, its ramp is done" in shown.stdout

    asyncio.run(drill())


def test_weights_are_set_and_shown(deploy: Callable[..., Any]) -> None:
    """``status`` says that weights are by hand since a command, and where a ramp stands."""

    async def scenario() -> None:
        deployment = await deploy(**SHORT_SESSION, **{_ROUTE + "TTL_S": "3"})
        deployment.start()
        for arm in ("a", "b"):
            made = await asyncio.to_thread(steer, deployment, "arm", "register", "r", arm)
            assert made.returncode == 0, made.stderr
        set_ = await asyncio.to_thread(steer, deployment, "weights", "r", "a=0.75", "b=25%")
        assert set_.returncode == 0, set_.stderr
        shown = await asyncio.to_thread(run, deployment, "status", "r")
        assert "policy static (weights = {'a': 0.75, 'b': 0.25}), by command" in shown.stdout
        wrong = await asyncio.to_thread(steer, deployment, "weights", "r", "a=0.75")
        assert wrong.returncode != 0
        assert "weights must add up to 1, these to 0.75" in wrong.stderr
        begun = await asyncio.to_thread(steer, deployment, "ramp", "r", "b", "--steps", "50,100")
        assert begun.returncode == 0, begun.stderr

        async def is_shown() -> bool:
            shown = await asyncio.to_thread(run, deployment, "status", "r")
            return "ramp of b: [50], 100 %, 0 of 500 labels" in shown.stdout

        await eventually(is_shown, deployment.logs)

    asyncio.run(scenario())
