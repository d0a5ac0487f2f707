"""A real API server of custom resources: Kubernetes' own code and etcd (tests/support/kube_server).

It has the definitions of Gateway API and KServe, as they publish them. No controllers: a test plays
gateways and KServe by writing the status.
"""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from go_modules import fetched
from patience import until

from leverframe.devbroker.assets import cache_root

__all__ = ["RealKube", "build_server", "running"]

_SOURCE: Final = Path(__file__).parent / "kube_server"
_DEFINITIONS: Final = {
    "sigs.k8s.io/gateway-api@v1.4.1": (
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
    ),
    "github.com/kserve/kserve@v0.15.2": (
        "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    ),
}
_OF_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def build_server() -> Path:
    """Return the server, built once by Go: four minutes of a core.

    Raises ``FileNotFoundError`` where there is no Go.
    """
    files = [_SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    built = cache_root() / "kube-server" / digest
    if built.exists():
        return built
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("Go is not installed; it builds the API server")
    built.parent.mkdir(parents=True, exist_ok=True)
    places = os.environ | {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-p", "1", "-o", str(built), "."]
    subprocess.run(command, cwd=_SOURCE, env=places, check=True)
    return built


class RealKube:
    """Its address, and what an administrator does there."""

    def __init__(self, url: str, token: str, ca: str) -> None:
        self.url = url
        self.token = token
        self.ca_file = ca
        self._ssl = ssl.create_default_context(cafile=ca)

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.url + path, data, headers, method=method
        )
        with urllib.request.urlopen(request, context=self._ssl) as answer:  # noqa: S310
            told: dict[str, Any] = json.loads(answer.read())
        return told

    def create(self, path: str, document: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Make an object, as an ordinary writer does."""
        return self.ask("POST", f"{path.rpartition('/')[0]}?fieldManager={manager}", document)

    def update(self, path: str, document: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Put an object in the place of what is there."""
        return self.ask("PUT", f"{path}?fieldManager={manager}", document)

    def set_status(self, path: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Write a status, as a controller does."""
        merging = "application/merge-patch+json"
        return self.ask("PATCH", f"{path}/status?fieldManager=it", {"status": status}, merging)

    def read(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)

    def owners(self, path: str) -> dict[tuple[str, str], Any]:
        """Who owns what, by manager and operation."""
        entries = self.read(path)["metadata"]["managedFields"]
        return {(one["manager"], one["operation"]): one["fieldsV1"] for one in entries}

    def define(self) -> None:
        """Let there be HTTPRoutes and InferenceServices."""
        for module, file in _DEFINITIONS.items():
            text = (fetched(module) / file).read_text(encoding="utf-8")
            made = yaml.safe_load(text)
            # Conversion asks a webhook that is not there.
            made["spec"].pop("conversion", None)
            made["metadata"].get("annotations", {}).pop("cert-manager.io/inject-ca-from", None)
            self.ask("POST", _OF_DEFINITIONS, made)
            version = next(one["name"] for one in made["spec"]["versions"] if one["storage"])
            path = f"/apis/{made['spec']['group']}/{version}/{made['spec']['names']['plural']}"
            until(lambda path=path: self._is_served(path), path)  # type: ignore[misc]

    def _is_served(self, path: str) -> bool:
        try:
            return bool(self.read(path))
        except urllib.error.HTTPError:
            return False


@contextmanager
def running(folder: Path) -> Iterator[RealKube]:
    """Run one until the end of the block."""
    with (folder / "kube-server.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [build_server()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"TMPDIR": str(folder)},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            line = process.stdout.readline()
            assert line, (folder / "kube-server.log").read_text(encoding="utf-8")[-3000:]
            kube = RealKube(**json.loads(line))
            kube.define()
            try:
                yield kube
            finally:
                process.kill()
                process.wait()
