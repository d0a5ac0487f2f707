"""What the chart takes from elsewhere: alert rules, the board, coefficients of sizing, the version.

``python docker/helm/generate.py`` writes them anew; Helm reads nothing outside its chart.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import structs

from bench.growth.results import read_growth
from bench.growth.shapes import BASE
from bench.sizing.__main__ import GROWTH, STARTING
from bench.sizing.coefficients import fitted
from leverframe import __version__

__all__ = ["CHART", "generated"]

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "docker" / "helm" / "leverframe"
_SIZING: Final = re.compile(
    r"worker_us.*|waiting_free|batch_labels|light_cores|route_cores|store_bytes"
)


def generated() -> Mapping[Path, str]:
    """Return what each file is to hold."""
    return {
        CHART / "files" / "alerts.yml": _read(ROOT / "docker" / "prometheus" / "alerts.yml"),
        CHART / "files" / "dashboard.json": _read(ROOT / "docker" / "grafana" / "leverframe.json"),
        CHART / "files" / "sizing.json": _sizing(),
        CHART / "Chart.yaml": re.sub(
            r"(?m)^(version|appVersion): .*$", rf"\1: {__version__}", _read(CHART / "Chart.yaml")
        ),
    }


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _sizing() -> str:
    known = fitted(read_growth(GROWTH), json.loads(_read(STARTING)))
    told = {
        name: float(f"{value:.6g}")
        for name, value in structs.asdict(known).items()
        if _SIZING.fullmatch(name)
    }
    return json.dumps(told | {"base_routes": BASE.routes}, indent=2) + "\n"


def main() -> None:
    """Write them."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
