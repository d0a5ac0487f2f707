"""The command line where it needs no broker."""

import io
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from control_records import GUARD, arms
from rich.console import Console

from leverframe.agents.cli.main import cli, main
from leverframe.agents.cli.route_table import routes_table
from leverframe.agents.cli.steer import arm
from leverframe.agents.cli.times import TIME
from leverframe.agents.cli.watch import line
from leverframe.agents.operator.beforehand import prior_lines
from leverframe.schemas.control import ControlMessage


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
            **GUARD,
            "arms": arms(a=0.9) | {"a": {**arms(a=0.9)["a"], "labels": 1234}},
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
    assert "b was rolled back: mean 0.1 of 40 labels" in text
    assert "a 0.6 of 200 meanwhile" in text


def test_status_shows_arms_states_and_shadows() -> None:
    """Weights, labels, means, champion and quarantine, and what each shadow policy would do."""
    console = Console(width=240, file=io.StringIO())
    console.print(routes_table({"checkout": message()}, 0))
    first, second = console.file.getvalue().splitlines()[1:3]  # type: ignore[attr-defined]
    for word in ("checkout", "1.000", "1,234", "0.9000", "champion", "3.71", "ucb=0.750"):
        assert word in first
    for word in ("b", "0.000", "quarantined", "ucb=0.250"):
        assert word in second


def test_status_shows_who_is_on_probation() -> None:
    """From a heartbeat, and from the message that began it."""
    for cause in (
        {"why": "heartbeat", "arms": arms(a=0.9, b=0.8), "probation": {"arm": "b"}},
        {"why": "probation", "step": "begun", "arm": "b", "arms": arms(a=0.9, b=0.8)},
    ):
        console = Console(width=240, file=io.StringIO())
        console.print(routes_table({"checkout": message(cause=cause, quarantined=[])}, 0))
        first, second = console.file.getvalue().splitlines()[1:3]  # type: ignore[attr-defined]
        assert "on probation" in second
        assert "on probation" not in first


def test_status_shows_the_mean_of_late_beside_that_of_the_life() -> None:
    """An arm that broke shows it, with how many labels say so; one of an older job shows none."""
    recent = {"labels": 240, "mean": 0.2, "since_ms": 0}
    known = arms(a=0.9, b=0.8)
    known["a"]["recent"] = recent
    console = Console(width=240, file=io.StringIO())
    console.print(routes_table({"checkout": message(cause={"why": "policy", "arms": known})}, 0))
    title, first, second = console.file.getvalue().splitlines()[:3]  # type: ignore[attr-defined]
    assert "mean        of late" in title
    assert "0.9000  0.2000 of 240" in first
    assert "0.8000   " in second


def walked(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that do something, with their names."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from walked(found, (*path, name))


LEAVES = list(walked())


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_examples_of_the_help_can_be_typed(path: tuple[str, ...], command: click.Command) -> None:
    """Each command shows some; each parses as the command that it is an example of."""
    assert command.epilog is not None
    examples = [each.strip() for each in command.epilog.splitlines()[2:]]
    assert examples
    for each in examples:
        words = shlex.split(each.partition(" | ")[0].partition(" > ")[0])
        words = shlex.split(words[1][2:-1]) if words[0] == "eval" else words
        words = words[words.index("leverframe") + 1 :]
        assert tuple(words[: len(path)]) == path
        command.make_context(path[-1], words[len(path) :])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str) -> None:
    """It asks the program itself, which then lists what fits."""
    shown = CliRunner().invoke(cli, ["completion", shell], prog_name="leverframe")
    assert shown.exit_code == 0
    assert f"{shell}_complete" in shown.output
    asked = subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main"],
        env={
            **os.environ,
            "_LEVERFRAME_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "leverframe ro",
            "COMP_CWORD": "ro" if shell == "fish" else "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rollback" in asked.stdout


def test_help_answers_at_once() -> None:
    """No heavy import: neither numpy nor Kafka nor tables are loaded for it."""
    code = (
        "import sys; from leverframe.agents.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'aiokafka', 'faust', 'rich', 'river'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_output_survives_a_pipe_that_is_closed() -> None:
    """Whoever reads only the first line gets it, and no trace."""
    told = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m leverframe.agents.cli.main --help | head -n 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("Usage: ")
    assert told.stderr == ""


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1777903327113", 1_777_903_327_113),
        ("2026-05-04T14:02:07", 1_777_903_327_999),
        ("2026-05-04T16:02:07+02:00", 1_777_903_327_999),
        ("2026-05-04T14:02:07.250", 1_777_903_327_250),
    ],
)
def test_times_are_read_as_people_type_them(text: str, told: int) -> None:
    """ISO times are UTC unless they say otherwise, and mean the end of the second they name."""
    assert TIME.convert(text, None, None) == told


@pytest.mark.parametrize("text", ["00:14:00", "00:14"])
def test_time_of_day_is_today(text: str) -> None:
    """In UTC."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert TIME.convert(text, None, None) == round(midnight.timestamp()) * 1000 + 840_999


def test_what_is_no_time_is_refused() -> None:
    """With the forms that are read."""
    shown = CliRunner().invoke(cli, ["explain", "r", "--at", "noon"])
    assert shown.exit_code == 2
    assert "'noon' is no time; for example 2026-05-04T14:02:07, 14:02:07" in shown.output


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stauts"], "status"),
        (["topics", "chek"], "check"),
        (["dead-letters", "redrvie"], "redrive"),
    ],
)
def test_misspelt_command_is_answered_with_the_one_that_was_meant(
    words: list[str], meant: str
) -> None:
    """Also within a group."""
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 2
    assert f"Did you mean {meant!r}?" in shown.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prior", "91"], "successes,failures"),
        (["--prior", "91,-9"], "successes,failures"),
        (["--prior", "nan,1"], "successes,failures"),
        (["--validation-count", "20"], "needs --validation-score"),
        (["--validation-count", "9", "--validation-score", "1", "--prior", "1,1"], "one of them"),
    ],
)
def test_what_is_known_beforehand_is_checked_before_a_broker_is_asked(
    words: list[str], said: str
) -> None:
    """A slip costs no connection, and the error says what is wanted."""
    result = CliRunner().invoke(arm, ["register", "checkout", "model-3", *words])
    assert result.exit_code == 2
    assert said in result.output


def test_explain_tells_a_prior_until_labels_outweigh_it() -> None:
    """On a line of its own, since it is in no mean."""
    [told] = prior_lines({"b": {"labels": 999, "prior": [91.0, 9.0]}})
    assert "prior of 100 labels, mean 0.910" in told
    assert prior_lines({"b": {"labels": 1000, "prior": [91.0, 9.0]}, "a": {"labels": 0}}) == []
