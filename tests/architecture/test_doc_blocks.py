"""Code that the pages show is real: it runs, loads, decodes, or is a command that exists."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
from doc_blocks import PAGES, ROOT, Block, blocks, commands_of

from leverframe.agents.cli.main import cli
from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.codec import RECORDS
from leverframe.streams.routes.route import compile_routes

SHELL = ("", "sh", "console", "bash")
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
COMMANDS = [(block, words) for block in blocks(*SHELL) for words in commands_of(block.text)]
# tests/broker/test_tutorial.py runs these, in their order.
TUTORIAL = ROOT / "docs" / "tutorial.md"


def commands(name: str) -> list[Any]:
    found = [(block, words[1:]) for block, words in COMMANDS if words[0] == name]
    return [
        pytest.param(words, id=f"{block} {' '.join(words)}")
        for block, words in dict.fromkeys((str(b), tuple(w)) for b, w in found)
    ]


def parse(arguments: tuple[str, ...]) -> None:
    """Let click read a command line to its last option, and run nothing."""
    command: click.Command = cli
    context = cli.make_context("leverframe", list(arguments))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


@pytest.mark.parametrize("arguments", commands("leverframe"))
def test_commands_are_real(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ``leverframe ...`` of a block names a command with options that it has."""
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    parse(arguments)


def inline_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for text in re.findall(r"`leverframe ([^`\n]+)`", page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), text


@pytest.mark.parametrize("text", sorted({text for _, text in inline_commands()}))
def test_commands_in_sentences_are_real(text: str) -> None:
    """``leverframe ...`` between backticks names a command and options that it has."""
    command: click.Command = cli
    context = click.Context(cli)
    for word in re.split(r"[\s\[\]|]+", text.split(" / ", maxsplit=1)[0]):
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            found = command.get_command(context, word)
            if found is None and command is not cli:
                continue  # an alternative of the word before
            assert found is not None, f"no command {word}"
            command = found
        elif word.startswith("--"):
            known = {
                name for option in command.params for name in (*option.opts, *option.secondary_opts)
            }
            assert word in known | {"--help", "--version"}, f"{command.name} has no {word}"


@pytest.mark.parametrize("arguments", commands("make"))
def test_make_targets_exist(arguments: tuple[str, ...]) -> None:
    """``make TARGET`` of a block is a target of the Makefile."""
    targets = {word for word in arguments if "=" not in word}
    assert targets <= MAKE_TARGETS


@pytest.mark.parametrize("arguments", commands("python"))
def test_modules_that_are_run_exist(arguments: tuple[str, ...]) -> None:
    """``python -m MODULE`` and ``python FILE`` name what is there."""
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None
    elif arguments[0] != "-c":
        assert (ROOT / arguments[0]).exists() or f"# {arguments[0]}" in TUTORIAL.read_text("utf-8")


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs(block: Block) -> None:
    """Each block of Python compiles and, but for the tutorial's, runs by itself."""
    code = compile(block.text, str(block), "exec")
    if block.page != TUTORIAL:
        exec(code, {"__name__": "docs"})  # noqa: S102 - our own pages


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_load(block: Block, tmp_path: Path) -> None:
    """Each block of TOML is a settings file, with policies and rewards that exist."""
    file = tmp_path / "leverframe.toml"
    file.write_text(block.text, encoding="utf-8")
    compile_routes(load_settings(file, {}).routes)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_records_decode(block: Block) -> None:
    """Each block of JSON is JSON; what has a record's fields is such a record."""
    texts = block.text.strip().splitlines()
    try:
        told = [json.loads(text) for text in texts]
    except json.JSONDecodeError:
        told = [json.loads(block.text)]
    for value in told:
        kinds = [kind for kind in RECORDS.values() if has_fields_of(kind, value)]
        assert kinds or "event" in value, "no record has these fields"
        for kind in kinds:
            msgspec.convert(value, kind)


def has_fields_of(kind: Any, value: Any) -> bool:
    fields = msgspec.structs.fields(kind)
    required = {field.encode_name for field in fields if field.required}
    return required <= value.keys() <= {field.encode_name for field in fields}


def settings_in(text: str) -> set[str]:
    return set(re.findall(r"\bLEVERFRAME_[A-Z*]+__\w+", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_the_environment_exist(page: Path) -> None:
    """Each ``LEVERFRAME_<SECTION>__<KEY>`` that a page names is a setting."""
    for name in settings_in(page.read_text(encoding="utf-8")):
        section, *keys = name.removeprefix("LEVERFRAME_").lower().split("__")
        kind = {field.name: field.type for field in msgspec.structs.fields(Settings)}[section]
        if section in {"routes", "actors"}:
            kind, keys = get_args(kind)[1], keys[1:]
        for key in keys:
            kind = {field.name: field.type for field in msgspec.structs.fields(kind)}[key]
