"""Topics that were there first, on a real broker: each kind of record, and each broken one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from estates import deploy_estate, letters_of, make_topics, put, told
from harness import wait_for_rewards
from patience import eventually
from records import label_record, prediction_record
from registry_server import RegistryServer
from twelve import Kind, twelve

pytestmark = pytest.mark.broker


def halves(topics: Any, kind: Kind, request: str) -> list[Any]:
    """What goes before a kind's own record, in our own form: the other half, or both."""
    prediction = prediction_record(request, route="scored" if kind.name == "scores" else "wage")
    label = label_record(request, 1)
    before = (topics.predictions, prediction.key, prediction.value, [])
    truth = (topics.ground_truth, label.key, label.value, [])
    if kind.kind == "prediction":
        return [truth]
    return [before, truth] if kind.name == "deletes" else [before]


def test_each_kind_of_record_becomes_rewards_and_each_broken_one_a_dead_letter(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Twelve kinds and their broken twins, in one worker: rewards, or reason and path."""

    async def scenario(registry: RegistryServer) -> None:
        kinds = twelve(registry)
        written = "".join(kind.section for kind in kinds)
        written += f'[registry]\nurl = "{registry.url}"\n'
        written += '[routes."*"]\n[routes.scored]\ncombine_parts = "sum"\nreward = "label"\n'
        await make_topics(broker.bootstrap, [unique_prefix + kind.name for kind in kinds])
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written)
        deployment.start()
        topics = deployment.settings.topic_names
        others = [one for kind in kinds for one in halves(topics, kind, f"q-{kind.name}")]
        await put(broker.bootstrap, others)
        # What deletes take back has to be there before.
        assert await wait_for_rewards(deployment, 1), deployment.logs()
        own = [(unique_prefix + kind.name, *kind.good(f"q-{kind.name}")) for kind in kinds]
        twins = [(unique_prefix + kind.name, *kind.broken) for kind in kinds]
        await put(broker.bootstrap, own)
        places = await put(broker.bootstrap, twins)
        # A delete is two: the reward, and its withdrawal; scores are the two parts of one label.
        rewards = await wait_for_rewards(deployment, len(kinds) + 2)
        causes = {(one.request_id, one.cause): one.reward for one in rewards}
        for kind in kinds:
            assert (f"q-{kind.name}", "label") in causes, (kind.name, deployment.logs())
        assert causes["q-deletes", "withdrawal"] is None
        assert causes["q-scores", "revision"] == 1.0

        async def all_there() -> bool:
            return len(await letters_of(deployment)) == len(kinds)

        await eventually(all_there, deployment.logs)
        letters = {told(letter)["source"]: letter for letter in await letters_of(deployment)}
        for kind, place in zip(kinds, places, strict=True):
            letter = letters[kind.name]
            said = told(letter)
            assert (said["reason"], said["path"]) == (kind.reason, kind.path), said
            assert (letter.key, letter.value) == kind.broken[:2]
            assert (said["partition"], said["offset"]) == (str(place.partition), str(place.offset))
            assert set(kind.broken[2]) <= set(letter.headers)

    with RegistryServer().running() as registry:
        asyncio.run(scenario(registry))
