"""Topics that were there first, on a real broker: each kind of record, and each broken one."""

import asyncio
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from estate import run
from estates import deploy_estate, letters_of, make_topics, put, told
from harness import read_all, wait_for_rewards
from patience import PATIENCE_S, eventually
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


def mend(config: Path, old: str, new: str) -> None:
    config.write_text(config.read_text().replace(old, new))


ESTATE = """
[sources.answers]
topic = "@answers"
kind = "prediction"
request_id = "request"
route = { value = "wage" }
arm = "model"
prediction = "yes"

[sources.outcomes]
topic = "@outcomes"
kind = "ground-truth"
request_id = "request"
label = { path = "outcome", map = { approved = true, declined = false } }
"""


def test_sources_are_tried_and_inferred_before_anything_runs(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """``sources try`` shows record, canonical record and would-be reward; ``infer`` a section."""

    async def scenario() -> None:
        names = [f"{unique_prefix}answers", f"{unique_prefix}outcomes"]
        await make_topics(broker.bootstrap, names)
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, ESTATE)
        records: list[Any] = []
        for i in range(30):
            said = {"request": f"q{i}", "model": "m1", "yes": bool(i % 2)}
            word = "approved" if i % 3 else "declined"
            records.append((names[0], None, orjson.dumps(said), []))
            records.append(
                (names[1], None, orjson.dumps({"request": f"q{i}", "outcome": word}), [])
            )
        await put(broker.bootstrap, records)
        tried = await asyncio.to_thread(
            run, deployment, "sources", "try", "outcomes", "--sample", "60", "--json"
        )
        assert tried.returncode == 0, tried.stderr
        told = {
            one["records"][0]["record"]["request_id"]: one for one in orjson.loads(tried.stdout)
        }
        assert len(told) == 30
        assert told["q1"]["rewards"][0]["reward"] == 1.0
        assert told["q3"]["rewards"][0]["reward"] == 0.0
        await put(broker.bootstrap, [(names[1], None, b'{"request":"q1","outcome":"?"}', [])])
        again = await asyncio.to_thread(run, deployment, "sources", "try", "outcomes")
        assert again.returncode == 1
        assert "!! unmappable at outcome: is '?', which map does not have" in again.stdout
        assert "=> reward 1 for arm m1 on route wage" in again.stdout
        inferred = await asyncio.to_thread(run, deployment, "sources", "infer", names[0])
        section = tomllib.loads(inferred.stdout)["sources"][names[0]]
        assert (section["kind"], section["request_id"], section["arm"]) == (
            "prediction",
            "request",
            "model",
        )
        missing = await asyncio.to_thread(run, deployment, "sources", "try", "nothing")
        assert "have no source 'nothing'; they have answers, outcomes" in missing.stderr

    asyncio.run(scenario())


def test_dead_letters_of_a_source_are_put_back_once_when_the_mapping_is_mended(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """What the settings could not map becomes a reward, by the settings as they are then, once."""

    async def scenario() -> None:
        names = [f"{unique_prefix}answers", f"{unique_prefix}outcomes"]
        await make_topics(broker.bootstrap, names)
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, ESTATE)
        deployment.start()
        said = {"request": "q", "model": "m1", "yes": True}
        outcome = {"request": "q", "outcome": "granted"}
        records: list[Any] = [
            (names[0], None, orjson.dumps(said), []),
            (names[1], b"k", orjson.dumps(outcome), [("trace", b"t")]),
            (names[1], None, b"{", []),
        ]
        await put(broker.bootstrap, records)

        async def both_there() -> bool:
            return len(await letters_of(deployment)) == 2

        await eventually(both_there, deployment.logs)
        redrive = ("dead-letters", "redrive", "--reason", "unmappable", "--yes")
        early = await asyncio.to_thread(run, deployment, *redrive)
        assert "outcome: is 'granted', which map does not have" in early.stderr
        assert "0 put back, 1 left" in early.stderr
        mend(tmp_path / "leverframe.toml", "approved = true", "granted = true")
        done = await asyncio.to_thread(run, deployment, *redrive)
        assert (done.returncode, "1 put back, 0 left" in done.stderr) == (0, True), done.stderr
        (reward,) = await wait_for_rewards(deployment, 1)
        assert (reward.request_id, reward.reward) == ("q", 1.0)
        again = await asyncio.to_thread(run, deployment, *redrive)
        assert "0 put back, 0 left" in again.stderr
        place = done.stdout.split(" ")[0]
        named = await asyncio.to_thread(run, deployment, "dead-letters", "redrive", place, "--yes")
        assert "it was put back before; --again does so again" in named.stderr
        listed = await asyncio.to_thread(run, deployment, "dead-letters", "list")
        assert [line.endswith("(put back)") for line in listed.stdout.splitlines()].count(True) == 1
        topics = deployment.settings.topic_names
        labels = await read_all(broker.bootstrap, topics.ground_truth, 4)
        assert [record.key for record in labels] == [b"q"]

    asyncio.run(scenario())


def test_reading_can_begin_with_what_is_new(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """``begin = "latest"`` passes over what lay there, the first time; a restart loses nothing."""

    async def scenario() -> None:
        name = f"{unique_prefix}outcomes"
        await make_topics(broker.bootstrap, [name, f"{unique_prefix}answers"])
        written = ESTATE.replace('topic = "@outcomes"', 'topic = "@outcomes"\nbegin = "latest"')
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written)
        topics = deployment.settings.topic_names
        halves = [prediction_record(request) for request in ("old", "new", "later")]
        await put(broker.bootstrap, [(topics.predictions, o.key, o.value, []) for o in halves])

        async def tell(request: str) -> None:
            value = orjson.dumps({"request": request, "outcome": "approved"})
            await put(broker.bootstrap, [(name, None, value, [])])

        await tell("old")
        worker = deployment.start()

        async def is_open() -> bool:
            return (
                deployment.log().count(f"{name}-1: open")
                + deployment.log().count(f"{name}-0: open")
                == 2
            )

        await eventually(is_open, deployment.log)
        await tell("new")
        assert [one.request_id for one in await wait_for_rewards(deployment, 1)] == ["new"]
        worker.terminate()
        await asyncio.to_thread(worker.wait, PATIENCE_S)
        await tell("later")
        deployment.start()
        found = await wait_for_rewards(deployment, 2)
        assert sorted(one.request_id for one in found) == ["later", "new"]

    asyncio.run(scenario())
