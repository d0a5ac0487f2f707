"""The registry client against the documented interface: codes, slowness, restart, evolution."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2
from registry_server import RegistryServer

from leverframe.agents.ingest.registry import Registry, subject_of
from leverframe.schemas.errors import RegistryError
from leverframe.streams.sources.settings import RegistrySettings

TEXT = orjson.dumps(
    {"type": "record", "name": "O", "fields": [{"name": "id", "type": "string"}]}
).decode()


def asked(server: RegistryServer, work: Callable[[Registry], Awaitable[Any]], **more: Any) -> Any:
    async def scenario() -> Any:
        registry = Registry(RegistrySettings(**{"url": server.url, **more}))
        try:
            return await work(registry)
        finally:
            await registry.close()

    return asyncio.run(scenario())


def test_a_schema_is_asked_for_once() -> None:
    """An id never changes its meaning; what is not there is asked for again after a while."""

    async def work(registry: Registry) -> None:
        await registry.load([number, number])
        await registry.load([number])
        assert registry.schemas[number].read(b"\x02a") == {"id": "a"}
        await registry.load([99])
        assert registry.schemas[99].problem == "the registry does not have it"

    server = RegistryServer()
    number = server.register("t-value", TEXT)
    with server.running():
        asked(server, work)
    assert server.asked.count(f"/schemas/ids/{number}") == 1
    assert server.asked.count("/schemas/ids/99") == 3


def test_an_unknown_id_is_read_once_it_is_registered() -> None:
    """What the registry did not have is no verdict for ever."""
    now = [0.0]

    async def work(_: Registry) -> None:
        registry = Registry(RegistrySettings(url=server.url), lambda: now[0])
        await registry.load([1])
        assert registry.schemas[1].problem
        assert server.register("t-value", TEXT) == 1
        await registry.load([1])
        assert registry.schemas[1].problem
        now[0] += 11
        await registry.load([1])
        assert not registry.schemas[1].problem
        await registry.close()

    server = RegistryServer()
    with server.running():
        asked(server, work)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ((401, 40101), r"refuses us \(401\); correct \[registry\] username"),
        ((403, 40301), r"refuses us \(403\)"),
        ((500, 50001), "500"),
        ((503, 50302), "503"),
        ((429, 42901), "429"),
    ],
)
def test_errors_of_the_registry_are_told(failure: tuple[int, int], told: str) -> None:
    """Whatever is not an answer is an error that names the cure, and the next time may succeed."""

    async def work(registry: Registry) -> None:
        with pytest.raises(RegistryError, match=told):
            await registry.load([number])
        await registry.load([number])
        assert not registry.schemas[number].problem

    server = RegistryServer(failures=[failure])
    number = server.register("t-value", TEXT)
    with server.running():
        asked(server, work)


def test_slowness_restart_and_a_second_server() -> None:
    """No answer in time is an error; a server that is back, or another one, answers."""
    server = RegistryServer()
    number = server.register("t-value", TEXT)

    async def slow(registry: Registry) -> None:
        with pytest.raises(RegistryError, match="gave no answer in time"):
            await registry.load([number])

    async def works(registry: Registry) -> None:
        await registry.load([number])
        assert not registry.schemas[number].problem

    with server.running():
        server.delay_s = 2.0
        asked(server, slow, timeout_s=0.2)
        server.delay_s = 0.0
    gone = server.url
    with pytest.raises(RegistryError, match="correct \\[registry\\] url"):
        asked(server, works)
    other = RegistryServer()
    other.register("t-value", TEXT)
    with other.running():
        asked(other, works, url=f"{gone}, {other.url}".replace(" ", ""))
    with server.running():
        asked(server, works)


def test_basic_authentication() -> None:
    """User and password go with every question."""
    server = RegistryServer(user=("me", "secret"))
    number = server.register("t-value", TEXT)

    async def works(registry: Registry) -> None:
        await registry.load([number])

    with server.running():
        asked(server, works, **dict(zip(("username", "password"), ("me", "secret"), strict=True)))
        with pytest.raises(RegistryError, match="refuses us"):
            asked(server, works)


def test_references_are_followed() -> None:
    """What a schema refers to, and what that refers to, comes before it."""
    server = RegistryServer()
    server.register("w", orjson.dumps({"type": "enum", "name": "W", "symbols": ["a"]}).decode())
    inner = {"type": "record", "name": "I", "fields": [{"name": "w", "type": "W"}]}
    server.register(
        "i", orjson.dumps(inner).decode(), references=[{"name": "W", "subject": "w", "version": 1}]
    )
    outer = {"type": "record", "name": "T", "fields": [{"name": "i", "type": "I"}]}
    number = server.register(
        "t-value",
        orjson.dumps(outer).decode(),
        references=[{"name": "I", "subject": "i", "version": 1}],
    )

    async def work(registry: Registry) -> None:
        await registry.load([number])
        assert registry.schemas[number].read(b"\x00") == {"i": {"w": "a"}}
        newest = await registry.latest("t-value")
        assert newest is not None
        assert [name for name, _ in newest.references] == ["W", "I"]
        assert await registry.latest("none") is None

    with server.running():
        asked(server, work)


def test_protobuf_is_asked_for_in_serialized_form() -> None:
    """A registry that gives the text of the file instead is told so, not guessed at."""
    file = descriptor_pb2.FileDescriptorProto(name="n.proto", syntax="proto3")
    file.message_type.add(name="N")
    serialized = base64.b64encode(file.SerializeToString()).decode()
    server = RegistryServer()
    good = server.register("a", "message N {}", "PROTOBUF", serialized=serialized)
    bad = server.register("b", "message M {}", "PROTOBUF")

    async def work(registry: Registry) -> None:
        await registry.load([good, bad])
        assert registry.schemas[good].read(b"\x00") == {}
        assert "format=serialized" in registry.schemas[bad].problem

    with server.running():
        asked(server, work)


def test_subjects_have_names_by_strategy() -> None:
    """As the serializers of producers name them."""
    names = [subject_of(one, "t", "com.O") for one in ("topic", "record", "topic_record")]
    assert names == ["t-value", "com.O", "t-com.O"]
    assert subject_of("topic", "t", part="key") == "t-key"


def test_answers_that_no_registry_gives_are_told() -> None:
    """Another server at that address, or a schema that is none, ends nobody."""

    async def odd(registry: Registry) -> None:
        with pytest.raises(RegistryError, match="is it a registry"):
            await registry.load([1])

    async def no_schema(registry: Registry) -> None:
        await registry.load([1])
        assert "is no Avro schema" in registry.schemas[1].problem

    server = RegistryServer()
    server.register("t", "[1, 2")
    with server.running():
        asked(server, no_schema)
    server.schemas[0].told = lambda _: {"hello": "world"}  # type: ignore[method-assign]
    with server.running():
        asked(server, odd)
