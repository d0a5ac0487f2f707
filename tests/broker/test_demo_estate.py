"""The demo's estate, on a real broker: Avro decisions, a Debezium table, customer keys."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leverframe.experiments.demo.command import demo

pytestmark = pytest.mark.broker


def test_topics_that_were_there_first_steer_traffic(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The better scorecard wins; no outcome is lost or counted twice; odd words are set aside."""
    monkeypatch.setenv("LEVERFRAME_BROKER", broker.bootstrap)
    told = ["--scenario", "estate", "--seed", "3", "--output", str(tmp_path)]
    result = CliRunner().invoke(demo, told)
    assert result.exit_code == 0, result.output
    assert "lost or counted twice: 0" in result.output
