"""State goes on elsewhere where predictions and labels lie on topics of others."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from estate import pairs, rewards_of, run, stop
from estates import make_topics, put
from harness import Deployment, wait_for_count
from patience import PATIENCE_S

from leverframe.agents.settings import load_settings
from leverframe.streams.runtime.topic_admin import create_topics

pytestmark = pytest.mark.broker

SOURCES = """
[sources.answers]
topic = "ANSWERS"
kind = "prediction"
format = "json"
request_id = "id"
route = { value = "r" }
arm = "model"
prediction = "score"

[sources.outcomes]
topic = "OUTCOMES"
kind = "ground-truth"
format = "json"
request_id = "id"
label = "good"
"""


class Estate:
    """Two topics of others, keyed as nobody of ours would."""

    def __init__(self, servers: str, prefix: str, folder: Path) -> None:
        self.servers, self.folder = servers, folder
        self.answers, self.outcomes = f"{prefix}answers", f"{prefix}outcomes"

    async def deploy(self, name: str, **more: str) -> Deployment:
        """A deployment of its own prefix that reads them."""
        home = self.folder / name
        home.mkdir()
        config = home / "leverframe.toml"
        written = SOURCES.replace("ANSWERS", self.answers).replace("OUTCOMES", self.outcomes)
        config.write_text(written)
        more = {"LEVERFRAME_CONFIG": str(config), **more}
        prefix = f"{self.answers}-{name}-"
        made = await Deployment.create(self.servers, prefix, home, **more)
        made.settings = load_settings(config, made.environment)
        await create_topics(made.settings.broker, made.settings.declared_topics(), 1)
        return made

    async def predict(self, names: list[str]) -> None:
        told = [{"id": name, "model": "a", "score": 1} for name in names]
        await put(self.servers, [(self.answers, b"k", orjson.dumps(one), None) for one in told])

    async def label(self, names: list[str]) -> None:
        told = [{"id": name, "good": 1} for name in names]
        await put(self.servers, [(self.outcomes, b"k", orjson.dumps(one), None) for one in told])


def test_topics_of_others_are_read_on_where_they_were(
    broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """What was counted is known, what waits gets its label, what came meanwhile counts."""
    file = tmp_path / "leverframe.state"

    async def drill() -> None:
        estate = Estate(broker.bootstrap, unique_prefix, tmp_path)
        await make_topics(estate.servers, [estate.answers, estate.outcomes])
        old = await estate.deploy("old")
        new: Deployment | None = None
        try:
            worker = old.start()
            await estate.predict(pairs("counted", 30) + pairs("waiting", 5))
            await estate.label(pairs("counted", 30))
            await wait_for_count(old, 30, PATIENCE_S)
            await stop(worker)
            assert run(old, "state", "export", str(file)).returncode == 0
            await estate.label(pairs("waiting", 5))
            await estate.predict(pairs("fresh", 7))
            await estate.label(pairs("fresh", 7))
            new = await estate.deploy("new")
            done = run(new, "state", "import", str(file), "--yes")
            assert done.returncode == 0, done.stderr
            new.start()
            states = await wait_for_count(new, 42, PATIENCE_S)
            assert states["r"].arms["a"].count == 42
            told = [one.request_id for one in await rewards_of(new)]
            assert sorted(told) == sorted(pairs("waiting", 5) + pairs("fresh", 7))
        finally:
            old.stop_all()
            if new is not None:
                new.stop_all()

    asyncio.run(drill())


def test_a_source_that_the_file_does_not_know_is_refused_whatever_inputs_count_from(
    broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Such as one of another name: from its begin, what is long over would count again."""
    file = tmp_path / "leverframe.state"

    async def drill() -> None:
        estate = Estate(broker.bootstrap, unique_prefix, tmp_path)
        await make_topics(estate.servers, [estate.answers, estate.outcomes])
        old = await estate.deploy("old")
        assert run(old, "state", "export", str(file)).returncode == 0
        new = await estate.deploy("new")
        for more in ([], ["--from", "now"]):
            refused = run(new, "state", "import", str(file), "--yes", *more)
            assert refused.returncode == 1
            assert "[sources] answers, outcomes: " in refused.stderr
            assert 'begin = "latest"' in refused.stderr

    asyncio.run(drill())
