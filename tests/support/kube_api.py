"""A fake API server of Kubernetes: the documented HTTP of reads and server-side apply.

No API server can be had as a package that starts in a second, so this is the smallest one that
answers as the reference says: bearer tokens, ``managedFields``, ``force``, 409 with the causes of a
conflict, 409 for an object that was changed since it was read, ``generation``, ``Status`` objects,
429 with ``Retry-After``. ``spec.rules`` is an atomic list, as in the definition of HTTPRoute; all
other fields are owned one by one. Controllers are played: a gateway accepts each generation, KServe
splits traffic, at once or when they are told to. It admits everything and watches nothing.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from served import served

Leaf = tuple[str, ...]
APPLY = "application/apply-patch+yaml"
ATOMIC = {("spec", "rules")}


def leaves(document: Mapping[str, Any], at: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """Yield what can be owned, beside the object's name."""
    for key, value in document.items():
        path = (*at, key)
        if path[0] in {"apiVersion", "kind", "metadata", "status"}:
            continue
        if isinstance(value, Mapping) and value and path not in ATOMIC:
            yield from leaves(value, path)
        else:
            yield path, value


def at(document: Mapping[str, Any], path: Leaf) -> Any:
    node: Any = document
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def put(document: dict[str, Any], path: Leaf, value: Any) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def fields_of(paths: set[Leaf]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for path in paths:
        node = told
        for part in path:
            node = node.setdefault(f"f:{part}", {})
    return told


@dataclass
class Kept:
    """An object, and who owns what of it by which operation."""

    document: dict[str, Any]
    owners: dict[tuple[str, str], set[Leaf]]
    version: int = 1

    def told(self) -> dict[str, Any]:
        told = copy.deepcopy(self.document)
        told["metadata"]["resourceVersion"] = str(self.version)
        told["metadata"]["managedFields"] = [
            {"manager": manager, "operation": operation, "fieldsV1": fields_of(paths)}
            for (manager, operation), paths in self.owners.items()
            if paths
        ]
        return told


@dataclass
class KubeApi:
    """Objects by path, what was asked, and what goes wrong."""

    port: int = 0
    token: str = "kube-token"  # noqa: S105 - of tests
    objects: dict[str, Kept] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    applied: list[dict[str, Any]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    # Answered instead, each once: status and headers.
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    # Called once before the next apply, such as another writer in between.
    before_apply: Any = None
    is_accepting: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def create(self, path: str, document: dict[str, Any], manager: str = "kubectl") -> Kept:
        kept = Kept(
            copy.deepcopy(document), {(manager, "Update"): {p for p, _ in leaves(document)}}
        )
        kept.document["metadata"]["generation"] = 1
        self.objects[path] = kept
        self.control(kept)
        return kept

    def update(self, path: str, change: Mapping[str, Any], manager: str) -> None:
        """Change an object as an ordinary writer does: it owns what it changed."""
        kept = self.objects[path]
        changed = {p for p, value in leaves(change) if at(kept.document, p) != value}
        for leaf in changed:
            put(kept.document, leaf, copy.deepcopy(at(change, leaf)))
        for paths in kept.owners.values():
            paths.difference_update(changed)
        kept.owners.setdefault((manager, "Update"), set()).update(changed)
        self._changed(kept)

    def control(self, kept: Kept) -> None:
        """Play the controllers."""
        if not self.is_accepting:
            return
        generation = kept.document["metadata"]["generation"]
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": generation}
        if kept.document["kind"] == "HTTPRoute":
            parent = {"parentRef": {"name": "gateway"}, "conditions": [accepted]}
            kept.document["status"] = {"parents": [parent]}
        else:
            percent = kept.document["spec"]["predictor"].get("canaryTrafficPercent", 100)
            traffic = [{"latestRevision": True, "percent": percent, "revisionName": "m-00002"}]
            if percent < 100:
                traffic.append({"revisionName": "m-00001", "percent": 100 - percent})
            predictor = {"traffic": traffic, "latestReadyRevision": "m-00002"}
            kept.document["status"] = {"components": {"predictor": predictor}}
        kept.version += 1

    def _changed(self, kept: Kept) -> None:
        kept.document["metadata"]["generation"] += 1
        kept.version += 1
        self.control(kept)

    def apply(
        self, kept: Kept, partial: dict[str, Any], manager: str, *, force: bool
    ) -> web.Response:
        version = partial["metadata"].get("resourceVersion")
        if version is not None and version != str(kept.version):
            return refusal(
                409, "Conflict", "the object has been modified; please apply your changes"
            )
        given = dict(leaves(partial))
        others = {key: paths for key, paths in kept.owners.items() if key != (manager, "Apply")}
        fought = {
            (key[0], leaf)
            for key, paths in others.items()
            for leaf in paths & given.keys()
            if at(kept.document, leaf) != given[leaf]
        }
        if fought and not force:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{name}"',
                    "field": "." + ".".join(leaf),
                }
                for name, leaf in sorted(fought)
            ]
            told = f"Apply failed with {len(causes)} conflict"
            return refusal(409, "Conflict", told, {"causes": causes})
        for _, leaf in fought:
            for paths in others.values():
                paths.discard(leaf)
        before = copy.deepcopy(kept.document)
        for leaf, value in given.items():
            put(kept.document, leaf, value)
        kept.owners[manager, "Apply"] = set(given)
        if kept.document != before:
            self._changed(kept)
        return web.json_response(kept.told())

    @contextmanager
    def running(self) -> Iterator["KubeApi"]:
        """Serve until the end of the block; again on the same port, after a restart."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        with served(app, self.port) as self.port:
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if self.failures:
            status, headers = self.failures.pop(0)
            made = refusal(status, "TooManyRequests", "as asked")
            made.headers.update(headers)
            return made
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized", "Unauthorized")
        verb = {"GET": "get", "PATCH": "patch"}.get(request.method, "")
        if verb in self.forbidden:
            return refusal(403, "Forbidden", f"cannot {verb} resource in API group")
        kept = self.objects.get(request.path)
        if kept is None:
            return refusal(404, "NotFound", "not found")
        if verb == "get":
            return web.json_response(kept.told())
        return await self._patch(request, kept)

    async def _patch(self, request: web.Request, kept: Kept) -> web.Response:
        if request.method != "PATCH" or request.content_type != APPLY:
            return refusal(415, "UnsupportedMediaType", "only server-side apply is played")
        manager = request.query.get("fieldManager", "")
        if not manager:
            return refusal(400, "BadRequest", "fieldManager is required for apply patch")
        between, self.before_apply = self.before_apply, None
        if between is not None:
            between()
        partial = json.loads(await request.read())
        self.applied.append(copy.deepcopy(partial))
        return self.apply(kept, partial, manager, force=request.query.get("force") == "true")


def refusal(
    status: int, reason: str, message: str, details: dict[str, Any] | None = None
) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details or {},
        "code": status,
    }
    return web.json_response(body, status=status)


ROUTE_PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/checkout"
SERVICE_PATH = "/apis/serving.kserve.io/v1beta1/namespaces/shop/inferenceservices/checkout"


def http_route(**weights: int) -> dict[str, Any]:
    """Return an HTTPRoute with two rules, the second of which splits traffic."""
    backends = [
        {"name": name.replace("_", "-"), "port": 8080, "weight": weight}
        for name, weight in weights.items()
    ]
    static = [{"name": "pages", "port": 80, "weight": 1}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": [
                {"name": "pages", "backendRefs": static},
                {"name": "models", "backendRefs": backends},
            ],
        },
    }


def weights_of(kept: Kept) -> dict[str, int]:
    """Return the backend weights of the rule that splits traffic."""
    backends = kept.document["spec"]["rules"][1]["backendRefs"]
    return {one["name"]: one["weight"] for one in backends}


def inference_service(percent: int | None = None) -> dict[str, Any]:
    predictor: dict[str, Any] = {"model": {"storageUri": "s3://models/2"}}
    if percent is not None:
        predictor["canaryTrafficPercent"] = percent
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {"predictor": predictor},
    }
