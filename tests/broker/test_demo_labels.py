"""The scripted day of labels on a real broker, its worker killed at noon."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from leverframe.experiments.demo.command import demo

pytestmark = pytest.mark.broker


def test_day_of_difficult_labels_ends_without_a_difference(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early, late, repeated, changed, withdrawn, partial and missing labels: the oracle's sums."""
    monkeypatch.setenv("LEVERFRAME_BROKER", broker.bootstrap)
    told = ["--scenario", "labels", "--requests", "1200", "--seed", "3", "--output", str(tmp_path)]
    result = CliRunner().invoke(demo, told)
    assert result.exit_code == 0, result.output
    assert "requests whose last reward differs from the oracle's: 0" in result.output
    summary = orjson.loads((tmp_path / "labels.json").read_bytes())
    assert summary["ours"] == summary["oracle"]
    assert len(summary["oracle"]) == 6
    assert sum(arm["labels"] for arm in summary["oracle"].values()) > 1000
    assert set(summary["dead_letters"]) == {"conflict", "invalid", "window_closed"}
