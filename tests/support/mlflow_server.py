"""A real MLflow tracking server, from its package, in a virtual environment of its own."""

import hashlib
import os
import signal
import subprocess
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from doc_blocks import ROOT
from patience import until

from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.locks import hold_lock
from leverframe.devbroker.ports import free_ports

REQUIREMENTS = ROOT / "requirements" / "mlflow.txt"


def mlflow_python() -> Path:
    """Return the Python that has MLflow; installs it (0.9 GB) where it is not there yet."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = cache_root() / "mlflow" / digest
    python, is_there = folder / "bin" / "python", folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.with_suffix(".lock"), lambda: None):
        if not is_there.exists():
            venv.create(folder, with_pip=True, clear=True)
            install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r"]
            subprocess.run([python, *install, REQUIREMENTS], check=True)
            is_there.touch()
    return python


class MlflowServer:
    """A running server; asked as its REST API is documented, without our own client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, said: dict[str, Any]) -> Any:
        """Ask, and return the answer."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}/api/2.0/mlflow/{path}",
            orjson.dumps(said),
            {"content-type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - likewise
            return orjson.loads(answer.read())

    def create(self, model: str) -> None:
        """Make a registered model."""
        self.ask("POST", "registered-models/create", {"name": model})

    def publish(self, model: str, **tags: str) -> int:
        """Make a version of it, with tags, and return its number."""
        told = [{"key": key, "value": value} for key, value in tags.items()]
        said = {"name": model, "source": f"s3://models/{model}", "tags": told}
        made = self.ask("POST", "model-versions/create", said)
        return int(made["model_version"]["version"])

    def set_alias(self, model: str, version: int, alias: str = "champion") -> None:
        """Move an alias by hand."""
        said = {"name": model, "alias": alias, "version": str(version)}
        self.ask("POST", "registered-models/alias", said)

    def model(self, model: str) -> Any:
        """Return what the server says of a model."""
        return self.ask("GET", f"registered-models/get?name={model}", {})["registered_model"]

    def alias(self, model: str, alias: str = "champion") -> int:
        """Return the version that has an alias; 0 for none."""
        told = self.model(model).get("aliases") or []
        return next((int(one["version"]) for one in told if one["alias"] == alias), 0)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """Give a server whose store lies in a folder."""
    python, (port,) = mlflow_python(), free_ports(1)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--workers", "1", "--backend-store-uri", store, "--artifacts-destination", folder]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    log = folder / "mlflow.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [python, *words], stdout=out, stderr=out, cwd=folder, env=kept, start_new_session=True
        )
        try:
            server = MlflowServer(f"http://127.0.0.1:{port}")
            until(lambda: _answers(server.url), lambda: log.read_text(errors="replace")[-3000:])
            yield server
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health") as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
