"""Helm, the chart's examples, and what they render to."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from leverframe.devbroker.assets import cache_root

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "docker" / "helm" / "leverframe"
EXAMPLES: Final = sorted((ROOT / "docker" / "helm" / "examples").glob("*.yaml"))
RENDERED: Final = ROOT / "tests" / "golden" / "chart"
HELM: Final = "helm.sh/helm/v4/cmd/helm@v4.3.1"
_MARK: Final = "# made of "
# Whole files in a manifest, which the golden output names instead of repeating them: a new alert
# or panel changes no golden file.
_EMBEDDED: Final = ((CHART / "files" / "dashboard.json", 4), (CHART / "files" / "alerts.yml", 2))


def find_helm(*, build: bool = False) -> str | None:
    """Return Helm's path: of the system or, once built, of the user's cache; None without it.

    Building takes a few minutes of a core, once, and needs Go and its module proxy.
    """
    if found := shutil.which("helm"):
        return found
    cache = cache_root() / "helm"
    built = cache / "helm"
    if not built.exists() and build and (go := shutil.which("go")):
        cache.mkdir(parents=True, exist_ok=True)
        places = os.environ | {"GOBIN": str(cache), "GOFLAGS": "-buildvcs=false"}
        subprocess.run([go, "install", "-p", "1", HELM], env=places, check=True)
    return str(built) if built.exists() else None


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm on files of this machine alone."""
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def template(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Render the chart as release ``leverframe`` in a namespace of its own."""
    place = ("--namespace", "shop", "--kube-version", "1.34.0")
    return run(program, "template", "leverframe", CHART, *place, *arguments)


def inputs_digest(values: Path) -> str:
    """Digest all that an example's golden file is made of."""
    digest = hashlib.sha256()
    named = {file for file, _ in _EMBEDDED}
    parts = sorted(file for file in CHART.rglob("*") if file.is_file() and file not in named)
    for path in [*parts, values]:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def golden(values: Path) -> Path:
    """Return the file that holds what an example renders to."""
    return RENDERED / values.name


def golden_text(values: Path, rendered: str) -> str:
    """Return the golden file's text for a rendering."""
    for file, indent in _EMBEDDED:
        said = with_runbook(file.read_text(encoding="utf-8").strip(), rendered)
        pad = " " * indent
        whole = "\n".join(f"{pad}{line}" for line in said.split("\n"))
        rendered = rendered.replace(f"{whole}\n", f"{pad}# all of {file.relative_to(CHART)}\n")
    return f"{_MARK}{inputs_digest(values)}\n{rendered}"


def with_runbook(rules: str, rendered: str) -> str:
    """Return rules with the address of the runbook that they were rendered with."""
    found = re.search(r"runbook_url: (\S+)#", rendered)
    where = found[1] if found else "docs/runbook.md"
    return rules.replace("runbook_url: docs/runbook.md", f"runbook_url: {where}")


def pinned_digest(values: Path) -> str:
    """Return the digest that an example's golden file was made of."""
    return golden(values).read_text(encoding="utf-8").partition("\n")[0].removeprefix(_MARK)


def manifests(text: str) -> list[dict[str, Any]]:
    """Return the objects of a rendering."""
    return [found for found in yaml.safe_load_all(text) if found]
