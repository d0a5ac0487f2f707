"""The job's log as JSON, and that each event in the code is documented."""

import ast
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from leverframe.agents.worker.event_log import DeadLetterLog, QuotaLog
from leverframe.agents.worker.logs import JsonFormatter
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.streams.runtime.logger import make_logger

ROOT = Path(__file__).parents[4]
CODE = ("schemas", "policies", "streams", "agents", "serving")
TEMPLATES = {"decided_": ("routing", "rollback", "promotion")}


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield path.relative_to(ROOT).as_posix(), node


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger."""
    for name, node in nodes():
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
            and node.func.attr in {"debug", "info", "warning", "error", "critical", "exception"}
        ):
            yield name, node


def names(value: ast.AST) -> set[str]:
    if isinstance(value, ast.Constant):
        return {str(value.value)}
    assert isinstance(value, ast.JoinedStr)
    start = value.values[0].value  # type: ignore[attr-defined]
    return {start + end for end in TEMPLATES[start]}


def events() -> set[str]:
    """Named first in a call; a serving process, which has no structlog, names them in a dict."""
    found = {
        name
        for file, call in calls()
        if not file.startswith("serving/")
        for name in names(call.args[0])
    }
    return found | {
        name
        for file, node in nodes()
        if file.startswith("serving/")
        and isinstance(node, ast.Dict)
        and [key.value for key in node.keys if isinstance(key, ast.Constant)][:1] == ["event"]
        for name in names(node.values[0])
    }


def test_every_line_of_the_log_has_an_event_and_a_text() -> None:
    """The event's name is what alerts and searches hold on to."""
    for file, call in calls():
        given = {keyword.arg for keyword in call.keywords}
        where = f"{file}:{call.lineno}"
        if file.startswith("serving/"):
            assert "extra" in given, where
        else:
            assert len(call.args) == 1, where
            assert "message" in given, where


@pytest.mark.parametrize("form", ["%(levelname)-8s %(name)s: %(message)s", None])
def test_calls_become_plain_records(form: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """Text for people or JSON with the fields; nothing else, nothing on standard output."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form is None else logging.Formatter(form))
    below = logging.getLogger("leverframe.test_logs")
    below.addHandler(handler)
    try:
        log = make_logger(below.name)
        log.warning("dead_letters", message="100 % of\n{}", count=3, reason="unreadable")
        try:
            raise ValueError("why")  # noqa: TRY301 - the trace is what is tested
        except ValueError:
            log.exception("callback_failed", message="it failed")
    finally:
        below.removeHandler(handler)
    assert capsys.readouterr().out == ""
    text = stream.getvalue()
    if form is not None:
        assert text.startswith("WARNING  leverframe.test_logs: 100 % of\n{}\nERROR    ")
        assert "ValueError: why" in text
        return
    first, second = map(orjson.loads, text.splitlines())
    assert first.keys() == {"at", "level", "logger", "event", "message", "count", "reason"}
    assert (first["event"], first["message"]) == ("dead_letters", "100 % of\n{}")
    assert (first["level"], first["logger"], first["count"]) == ("warning", below.name, 3)
    assert (second["event"], second["level"]) == ("callback_failed", "error")
    assert "ValueError: why" in second["trace"]


def test_every_event_is_documented() -> None:
    """docs/logs.md lists what the code says, and no more."""
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert documented == events() | {"library"}


def test_a_flood_beyond_the_quota_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each route in ten seconds, with all that were left out meanwhile."""
    now = [100.0]
    over_quota = QuotaLog(lambda: now[0])
    over_quota.note({("prediction", "r", "a"): 5, ("over_quota", "r", "a"): 0})
    for _ in range(100):
        over_quota.note({("over_quota", "r", "a"): 2, ("over_quota", "r", "b"): 1})
    now[0] += 11
    over_quota.write_if_due()
    over_quota.write_if_due()
    told = [(record.route, record.count) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("r", 3), ("r", 297)]


def test_json_lines_hold_what_extra_gave() -> None:
    """One object, one line, whatever the message holds."""
    record = logging.makeLogRecord(
        {
            "name": "leverframe",
            "levelname": "WARNING",
            "msg": "two\nlines of %s",
            "args": ("text",),
            "event": "dead_letters",
            "partition": 3,
            "key": b"bytes",
        }
    )
    line = JsonFormatter().format(record)
    fields = orjson.loads(line)
    assert "\n" not in line
    assert fields["message"] == "two\nlines of text"
    assert (fields["event"], fields["partition"], fields["level"]) == ("dead_letters", 3, "warning")


def test_json_lines_hold_traces() -> None:
    """In one field; libraries have the event ``library``."""
    try:
        raise ValueError("why")  # noqa: TRY301 - the trace is what is tested
    except ValueError:
        record = logging.makeLogRecord({"msg": "it failed", "exc_info": sys.exc_info()})
    fields = orjson.loads(JsonFormatter().format(record))
    assert fields["event"] == "library"
    assert "ValueError: why" in fields["trace"]


def test_a_flood_of_dead_letters_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """At most one in ten seconds, and it counts all since the one before."""
    now = [100.0]
    letters = [
        DeadLetter(
            key=b"r-\xff",
            value=b"{",
            topic="predictions",
            partition=1,
            offset=at,
            timestamp_ms=0,
            reason="unreadable",
            detail="not JSON",
        )
        for at in range(1000)
    ]
    set_aside = DeadLetterLog(lambda: now[0])
    set_aside.note([])
    for letter in letters:
        set_aside.note([letter])
    set_aside.write_if_due()
    now[0] += 11
    set_aside.write_if_due()
    set_aside.write_if_due()
    assert [record.count for record in caplog.records] == [1, 999]  # type: ignore[attr-defined]
    assert caplog.records[0].request == "r-\ufffd"  # type: ignore[attr-defined]
    assert set_aside.counts == {"unreadable": 1000}


def test_json_lines_hold_what_is_no_text() -> None:
    """Half of a surrogate pair, as from bytes that are not UTF-8, costs no line."""
    record = logging.makeLogRecord({"msg": "asked \udcff", "event": "dead_letters"})
    assert (
        orjson.loads(JsonFormatter().format(record).replace("\\udcff", "?"))["message"] == "asked ?"
    )
