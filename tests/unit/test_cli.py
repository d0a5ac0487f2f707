"""The command line where it needs no broker."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import status as status_module
from agents.cli.main import cli, main
from agents.cli.watch import line
from schemas.control import ControlMessage


def message(**fields: object) -> ControlMessage:
    known = {
        "route": "checkout",
        "epoch": 3,
        "seq": 71,
        "kind": "rollback",
        "weights": {"a": 1.0, "b": 0.0},
        "champion": "a",
        "quarantined": ["b"],
        "safe_weights": {"a": 1.0},
        "ttl_ms": 15000,
        "issued_at_ms": time.time_ns() // 1_000_000,
        "salt": "00",
        "cause": {
            "why": "guard",
            "arm": "b",
            "mean": 0.2,
            "labels": 50,
            "compared_with": "a",
            "reference_mean": 0.9,
            "reference_labels": 40,
            "arms": {"a": {"phase": "candidate", "labels": 1234, "mean": 0.9}},
            "shadow": {"ucb": {"a": 0.75, "b": 0.25}},
        },
        "state_digest": "00",
        **fields,
    }
    return ControlMessage(**known)  # type: ignore[arg-type] # a table of fields


def test_watch_says_why_in_one_line() -> None:
    """A rollback's line names both arms with labels and means."""
    text = line(message())
    assert "checkout 3.71 rollback  a=1.000 b=0.000" in text
    assert "b has mean 0.200 of 50 labels, a 0.900 of 40" in text


def test_status_shows_arms_states_and_shadows(capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, labels, means, champion and quarantine, and what each shadow policy would do."""
    status_module._table({"checkout": message()})
    first, second = capsys.readouterr().out.splitlines()[1:3]
    for word in ("checkout", "1.000", "1,234", "0.9000", "champion", "3.71", "ucb=0.750"):
        assert word in first
    for word in ("b", "0.000", "quarantined", "ucb=0.250"):
        assert word in second


def test_commands_tell_how_to_use_them() -> None:
    """Each command's --help works and says what it is for."""
    runner = CliRunner()
    listed = runner.invoke(cli, ["--help"]).output
    for name in cli.list_commands(None):  # type: ignore[arg-type] # not used
        assert name in listed
        shown = runner.invoke(cli, [name, "--help"])
        assert shown.exit_code == 0, shown.output
        assert "Usage:" in shown.output


def test_faults_are_one_clear_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong settings end with code 2 and a message, without a traceback."""
    monkeypatch.setenv("LEVERFRAME_TOPICS__PARTITIONS", "0")
    with pytest.raises(SystemExit) as ended:
        main(["topics", "check"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("leverframe: the settings have a fault:\n  topics.partitions:")


def test_set_policy_refuses_parameters_that_are_not_json() -> None:
    """A typing mistake is told before anything is sent."""
    shown = CliRunner().invoke(cli, ["set-policy", "r", "ucb", "--params", "{"])
    assert shown.exit_code == 2
    assert "not JSON" in shown.output


def test_schemas_check_finds_what_is_stale(tmp_path: Path) -> None:
    """``schemas check`` fails for a document that differs and names it."""
    runner = CliRunner()
    assert runner.invoke(cli, ["schemas", "write", str(tmp_path)]).exit_code == 0
    assert runner.invoke(cli, ["schemas", "check", str(tmp_path)]).exit_code == 0
    path = tmp_path / "rewards.schema.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"title": "Another"}), encoding="utf-8")
    stale = runner.invoke(cli, ["schemas", "check", str(tmp_path)])
    assert stale.exit_code == 1
    assert "rewards.schema.json" in stale.output
