"""What an API server of Kubernetes 1.37 says of manifests, by its own code (tests/support/kube).

And whether a namespace with the Pod Security Standard "restricted" takes the pods.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from leverframe.devbroker.assets import cache_root

__all__ = ["build_judge", "faults"]

_SOURCE: Final = Path(__file__).parent / "kube"


def build_judge() -> Path:
    """Return the judge, built once by Go: some minutes of a core.

    Raises ``FileNotFoundError`` where there is no Go.
    """
    files = [_SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    built = cache_root() / "kube" / digest
    if built.exists():
        return built
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("Go is not installed; it builds the judge of Kubernetes' manifests")
    built.parent.mkdir(parents=True, exist_ok=True)
    places = os.environ | {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    command = [go, "build", "-p", "1", "-o", str(built), "."]
    subprocess.run(command, cwd=_SOURCE, env=places, check=True)
    return built


def faults(judge: Path, manifests: str) -> str:
    """Return what would be refused, a line each; nothing where all is well."""
    done = subprocess.run([judge], input=manifests, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
