"""The demo of the gateway: services without Kafka decide, report, and see a rollback."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leverframe.experiments.demo.command import demo

pytestmark = [pytest.mark.broker, pytest.mark.drill]


def test_two_services_see_a_rollback(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The better model wins in both, breaks, and answers nobody once it was rolled back."""
    monkeypatch.setenv("LEVERFRAME_BROKER", broker.bootstrap)
    told = ["--scenario", "gateway", "--seed", "3", "--output", str(tmp_path)]
    result = CliRunner().invoke(demo, told)
    assert result.exit_code == 0, result.output
    assert "rolled back after" in result.output
