"""What docker/ tells Prometheus and Grafana, and the tools that judge it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "docker" / "prometheus"
BOARD = ROOT / "docker" / "grafana" / "leverframe.json"


def tool(name: str) -> str:
    """Return the path of a program; without it a test is skipped here, and fails in CI."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed (Debian: apt-get install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def alert_rules() -> list[dict[str, Any]]:
    groups = load(PROMETHEUS / "alerts.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BOARD.read_text(encoding="utf-8"))
    return found


def board_expressions() -> dict[str, str]:
    """Give each expression of the board by panel and letter, with its variables filled in."""
    told = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board()["panels"]
        for target in panel.get("targets", [])
    }
    marks = board()["annotations"]["list"]
    told |= {mark["name"]: mark["expr"] for mark in marks}
    values = {"$job": "leverframe", "$route": ".*", "$__rate_interval": "1m"}
    for title, expression in told.items():
        for variable, value in values.items():
            expression = expression.replace(variable, value)  # noqa: PLW2901
        told[title] = expression
    return told
