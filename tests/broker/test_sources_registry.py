"""A registry that is away, comes back, or learns a new version, while a worker reads sources."""

import asyncio
import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from estate import send
from estates import deploy_estate, make_topics, put
from foreign import framed
from harness import wait_for_rewards
from patience import PATIENCE_S, eventually
from records import prediction_record
from registry_server import RegistryServer

pytestmark = pytest.mark.broker

OLD = {"type": "record", "name": "O", "fields": [{"name": "id", "type": "string"}]}
OLD["fields"] = [*OLD["fields"], {"name": "y", "type": "int"}]  # type: ignore[misc]
NEW = {**OLD, "fields": [{"name": "why", "type": "string"}, *OLD["fields"]]}  # type: ignore[misc]

ESTATE = """
[sources.outcomes]
topic = "@outcomes"
kind = "ground-truth"
format = "avro"
request_id = "id"
label = "y"

[registry]
url = "URL"
timeout_s = 1
"""


def value(number: int, schema: Any, **datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return framed(number, out.getvalue())


def test_an_outage_holds_up_its_source_alone_and_schemas_may_change(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """The native path goes on, a worker that waits can be stopped, and nothing is lost by it."""

    async def scenario(server: RegistryServer) -> None:
        await make_topics(broker.bootstrap, [f"{unique_prefix}outcomes"])
        written = ESTATE.replace("URL", server.url)
        deployment = await deploy_estate(deploy, unique_prefix, tmp_path, written)
        topics, servers = deployment.settings.topic_names, deployment.settings.broker.servers
        halves = [prediction_record(name) for name in ("old", "new")]
        await put(servers, [(topics.predictions, one.key, one.value, []) for one in halves])
        old = value(server.register("t", orjson.dumps(OLD).decode()), OLD, id="old", y=1)
        waiting = deployment.start()
        await put(servers, [(f"{unique_prefix}outcomes", None, old, [])])

        async def says_so() -> bool:
            return "waits for schemas" in deployment.log()

        await eventually(says_so, deployment.log)
        await send(deployment, ["native"])
        (native,) = await wait_for_rewards(deployment, 1)
        assert native.request_id == "native"
        waiting.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(waiting.wait, PATIENCE_S) == 0, deployment.log()
        deployment.start()
        with server.running():
            rewards = await wait_for_rewards(deployment, 2)
            assert [one.request_id for one in rewards].count("old") == 1
            number = server.register("t", orjson.dumps(NEW).decode())
            new = value(number, NEW, why="it grew", id="new", y=1)
            await put(servers, [(f"{unique_prefix}outcomes", None, new, [])])
            rewards = await wait_for_rewards(deployment, 3)
        assert {one.request_id for one in rewards} == {"native", "old", "new"}
        assert "Unclosed client session" not in deployment.log()

    # A port that is known, and nobody there yet.
    server = RegistryServer()
    with server.running():
        pass
    asyncio.run(scenario(server))
