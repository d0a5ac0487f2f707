"""A proposal for a topic maps the records that it was made from."""

import asyncio
import tomllib
from typing import Any

import pytest
from foreign import Foreign, mapped, mapping
from registry_server import RegistryServer
from twelve import twelve

from leverframe.agents.ingest.registry import Registry
from leverframe.agents.operator.sources import _proposed
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.sources.compiled import ids_in
from leverframe.streams.sources.settings import RegistrySettings

# Names that nobody could guess are left out of these.
NOT_GUESSED = {"checked", "deletes"}


def registered(server: RegistryServer, records: list[Foreign]) -> Any:
    async def load() -> Any:
        registry = Registry(RegistrySettings(url=server.url))
        try:
            await registry.load(ids_in(records))
        finally:
            await registry.close()
        return registry.schemas

    return asyncio.run(load())


def test_proposals_map_the_records_they_were_made_from() -> None:
    """Format, kind and ids are recognised; what is left to a person is said in comments."""
    with RegistryServer().running() as server:
        for kind in twelve(server):
            if kind.name in NOT_GUESSED:
                continue
            records = [
                Foreign(value, key, tuple(headers), topic=kind.name)
                for key, value, headers in (kind.good(f"req-{n}") for n in range(30))
            ]
            schemas = registered(server, records)
            proposal = _proposed(kind.name, records, schemas)
            written = tomllib.loads(proposal.written())["sources"][kind.name]
            assert written["kind"] == kind.kind, (kind.name, proposal.written())
            told = tomllib.loads(kind.section)["sources"][kind.name]
            assert written.get("format", "json") == told.get("format", "json"), kind.name
            if proposal.missing:
                continue
            ours = mapping(**written)
            for at, record in enumerate(records):
                made = mapped(ours, record.value, schemas, key=record.key, headers=record.headers)
                assert {one.request_id for one in made} == {f"req-{at}"}, proposal.written()


def test_what_cannot_be_recognised_is_said() -> None:
    """Bytes of no format that is known, and a frame without a registry."""
    with pytest.raises(LeverframeError, match="begins with ff ff"):
        _proposed("t", [Foreign(b"\xff\xff")], {})
    with pytest.raises(LeverframeError, match=r"set \[registry\] url"):
        _proposed("t", [Foreign(b"\0\0\0\0\x01\x02")], {})
