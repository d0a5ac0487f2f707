"""The demo's story of a model in shadow, on a real broker."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from leverframe.experiments.demo.command import demo

# Most of a minute; the steps are tested by test_in_shadow.py, the broker's part by test_shadows.py.
pytestmark = [pytest.mark.broker, pytest.mark.drill]


def test_a_model_is_proved_without_traffic_breaks_and_is_off_the_line(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traffic before the proof; some 70 labels from the break to the one that decides."""
    monkeypatch.setenv("LEVERFRAME_BROKER", broker.bootstrap)
    told = ["--scenario", "shadow", "--no-tty", "--output", str(tmp_path)]
    result = CliRunner().invoke(demo, told)
    assert result.exit_code == 0, result.output
    assert "forest-v2 became champion, proved in shadow" in result.output
    summary = orjson.loads((tmp_path / "summary.json").read_bytes())
    assert (summary["shifted"], summary["rolled_back"]) == (True, True)
    assert summary["share_before_proof"] == 0
    assert 0 < summary["proved_on_pairs"] < 1_000
    # 65 to 99 in four runs; traffic is drawn anew in each.
    assert 0 < summary["labels_until_decision"] <= 200
    messages = [
        orjson.loads(line) for line in (tmp_path / "control.jsonl").read_bytes().splitlines()
    ]
    assert all(message["weights"].get("bayes-v1", 0.0) == 0 for message in messages)
    assert (tmp_path / "traffic.png").stat().st_size > 10_000
