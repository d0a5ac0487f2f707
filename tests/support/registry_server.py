"""A schema registry for tests: the documented REST interface, in a thread, with faults on demand.

No registry server can be had as a package, so this is the smallest one that answers as the
interface says: ids, subjects, versions, references, ``format=serialized``, error codes, basic
authentication. It registers what it is given and checks no compatibility.
"""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from served import served


@dataclass
class Stored:
    schema_id: int
    subject: str
    version: int
    kind: str
    text: str
    references: list[dict[str, Any]]
    serialized: str = ""

    def told(self, form: str) -> dict[str, Any]:
        text = self.serialized if form == "serialized" and self.serialized else self.text
        told: dict[str, Any] = {"schema": text}
        if self.kind != "AVRO":
            told["schemaType"] = self.kind
        if self.references:
            told["references"] = self.references
        return told


@dataclass
class RegistryServer:
    """What is registered, what was asked, and what goes wrong."""

    port: int = 0
    user: tuple[str, str] | None = None
    schemas: list[Stored] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    # Answered instead, each once.
    failures: list[tuple[int, int]] = field(default_factory=list)
    delay_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(
        self,
        subject: str,
        text: str,
        kind: str = "AVRO",
        references: list[dict[str, Any]] | None = None,
        serialized: str = "",
    ) -> int:
        same = [one for one in self.schemas if (one.text, one.kind) == (text, kind)]
        number = same[0].schema_id if same else 1 + max(self.ids(), default=0)
        version = 1 + sum(one.subject == subject for one in self.schemas)
        self.schemas.append(
            Stored(number, subject, version, kind, text, references or [], serialized)
        )
        return number

    def ids(self) -> set[int]:
        return {one.schema_id for one in self.schemas}

    @contextmanager
    def running(self) -> Iterator["RegistryServer"]:
        """Serve until the end of the block; again on the same port, after a restart."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/schemas/ids/{id}", self._by_id)
        app.router.add_get("/subjects/{subject}/versions/{version}", self._by_version)
        app.router.add_post("/subjects/{subject}/versions", self._post)
        with served(app, self.port) as self.port:
            yield self

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.failures:
            return error(*self.failures.pop(0))
        if self.user is not None:
            pair = base64.b64encode(":".join(self.user).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {pair}":
                return error(401, 401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _by_id(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        found = [one for one in self.schemas if one.schema_id == number]
        if not found:
            return error(404, 40403)
        return web.json_response(found[0].told(request.query.get("format", "")))

    async def _by_version(self, request: web.Request) -> web.Response:
        own = [one for one in self.schemas if one.subject == request.match_info["subject"]]
        if not own:
            return error(404, 40401)
        asked = request.match_info["version"]
        found = own[-1:] if asked == "latest" else [o for o in own if str(o.version) == asked]
        if not found:
            return error(404, 40402)
        one = found[0]
        own_words = {"subject": one.subject, "id": one.schema_id, "version": one.version}
        return web.json_response(own_words | one.told(request.query.get("format", "")))

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()
        kind = body.get("schemaType", "AVRO")
        number = self.register(request.match_info["subject"], body["schema"], kind)
        return web.json_response({"id": number})


def error(status: int, code: int) -> web.Response:
    return web.json_response({"error_code": code, "message": "as asked"}, status=status)
