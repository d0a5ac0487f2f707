"""Fakes of what webhooks set: answer as LiteLLM, Envoy and NGINX Plus document it, and no more.

Each is a handler of one request, ``(method, path with query, body) -> (status, answer)``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from served import served

Answer = tuple[int, Any]
Handler = Callable[[str, str, bytes], Answer]


class LiteLlm:
    """``POST /model/update`` and ``GET /model/info`` of a proxy with a database."""

    def __init__(self) -> None:
        self.weights: dict[str, Any] = {"deployment-small": None, "deployment-large": None}
        self.order: list[str] = []

    def __call__(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        if method == "POST" and parts.path == "/model/update":
            told = json.loads(body)
            name = told["model_info"]["id"]
            self.order.append(name)
            self.weights[name] = told["litellm_params"]["weight"]
            return 200, told
        name = dict(parse_qsl(parts.query)).get("litellm_model_id", "")
        if parts.path != "/model/info" or name not in self.weights:
            return 404, {"detail": "not found"}
        one = {"model_info": {"id": name}, "litellm_params": {"weight": self.weights[name]}}
        return 200, {"data": [one]}


class Envoy:
    """``POST /runtime_modify`` and ``GET /runtime``: values are texts, in layers; none at first."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def __call__(self, method: str, target: str, body: bytes) -> Answer:
        del body
        parts = urlsplit(target)
        if method == "POST" and parts.path == "/runtime_modify":
            self.values |= dict(parse_qsl(parts.query))
            return 200, "OK\n"
        if method == "GET" and parts.path == "/runtime":
            entries = {
                name: {"final_value": value, "layer_values": ["", value]}
                for name, value in self.values.items()
            }
            return 200, {"layers": ["static", "admin"], "entries": entries}
        return 404, "not found"


class Nginx:
    """``PATCH`` and ``GET`` of an upstream's servers: a weight is at least 1."""

    def __init__(self) -> None:
        self.servers = {"0": {"weight": 1, "down": False}, "1": {"weight": 1, "down": True}}

    def __call__(self, method: str, target: str, body: bytes) -> Answer:
        head, _, name = urlsplit(target).path.rpartition("/")
        if head != "/api/9/http/upstreams/ads/servers" or name not in self.servers:
            return 404, {"error": {"status": 404, "code": "UpstreamServerNotFound"}}
        if method == "PATCH":
            told = json.loads(body)
            if told.get("weight") == 0:
                return 400, {"error": {"status": 400, "code": "UpstreamConfFormatError"}}
            self.servers[name] |= told
        return 200, {"id": int(name), "server": "10.0.0.1:80", **self.servers[name]}


@dataclass
class WeightServer:
    """Serves one of them, in a thread, with faults on demand."""

    handler: Handler
    port: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    # Answered instead, each once: status and headers.
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["WeightServer"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        with served(app) as self.port:
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        if self.failures:
            status, headers = self.failures.pop(0)
            return web.Response(status=status, headers=headers, text="as asked")
        status, told = self.handler(request.method, request.raw_path, await request.read())
        if isinstance(told, str):
            return web.Response(status=status, text=told)
        return web.json_response(told, status=status)
