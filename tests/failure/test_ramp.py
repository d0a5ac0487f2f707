"""A ramp lives through ``kill -9``, a lost disk and the move to another worker; a replay agrees."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run, steer
from harness import SHORT_SESSION, Deployment, control_messages, lose_disk
from patience import eventually
from two_arms import Serving, newest, replayed

pytestmark = pytest.mark.broker
_ROUTE = "LEVERFRAME_ROUTES__R__"
_PLAN = ("--steps", "10,30,60,100", "--dwell", "1s", "--min-labels", "30", "--gate", "not_harmful")
_LONG_PLAN = ("--steps", "5,20,40,70,100", *_PLAN[2:])


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


@pytest.mark.drill
def test_ramp_ends_as_if_nothing_had_happened(deploy: Callable[..., Any]) -> None:
    """Five steps through ten kills and three rebalances: each once, in order; a replay agrees.

    A replay folds the same records without any disturbance.
    """

    async def drill() -> None:
        deployment = await deploy(
            **SHORT_SESSION,
            LEVERFRAME_TOPICS__PARTITIONS="2",
            LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1",
            **{
                _ROUTE + "POLICY": '{ name = "static", params = { weights = { a = 1.0 } } }',
                _ROUTE + "TTL_S": "3",
            },
        )
        troubles = Troubles(deployment)
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Serving(deployment, producer, 11)
            await serving.serve(1, 0.0, a=0.9, b=0.9)
            await serving.serve(300, 0.2, a=0.9, b=0.9)

            async def are_known() -> bool:
                message = await newest(deployment)
                return message is not None and set(message.weights) == {"a", "b"}

            await eventually(are_known, deployment.logs)
            begun = await asyncio.to_thread(steer, deployment, "ramp", "r", "b", *_LONG_PLAN)
            assert begun.returncode == 0, begun.stderr
            message = await newest(deployment)
            while message is None or message.champion != "b" or troubles.left:
                share = 0.05 if message is None else message.weights["b"]
                assert serving.sent < 60_000, deployment.logs()
                await serving.serve(120, share, a=0.9, b=0.9)
                await troubles.next()
                message = await newest(deployment)

            async def agrees() -> bool:
                told = await newest(deployment)
                return told is not None and await replayed(deployment) == told.state_digest

            await eventually(agrees, deployment.logs)
            told = [
                (one.cause["step"], one.cause["at"])
                for one in (await control_messages(deployment))["r"]
                if one.cause.get("why") == "ramp" and one.cause["step"] != "waiting"
            ]
            assert told == [("moved", 2), ("moved", 3), ("moved", 4), ("done", 5)]
            assert (troubles.kills, troubles.rebalances) == (10, 3)

    asyncio.run(drill())


class Troubles:
    """A worker that is killed and started again, and one that joins it and leaves, in turn."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._worker = deployment.start("w0")
        self._guest: Any = None
        self.left = ["kill", "kill", "kill", "join", "kill", "kill", "leave", "kill", "kill"]
        self.left += ["join", "kill", "kill", "kill"]
        self.kills = self.rebalances = 0

    async def next(self) -> None:
        """Make the next trouble, and wait until a worker follows again."""
        if not self.left:
            return
        what = self.left.pop(0)
        if what == "kill":
            self.kills += 1
            self._worker.kill()
            await asyncio.to_thread(self._worker.wait)
            self._worker = self._deployment.start("w0")
        else:
            self.rebalances += 1
            if what == "join":
                self._guest = self._deployment.start(f"guest{self.rebalances}")
            else:
                self._guest.terminate()
                await asyncio.to_thread(self._guest.wait)
        before = await newest(self._deployment)

        async def goes_on() -> bool:
            now = await newest(self._deployment)
            return now is not None and (before is None or now.seq > before.seq)

        await eventually(goes_on, self._deployment.logs)


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
