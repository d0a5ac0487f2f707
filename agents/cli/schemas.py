"""``leverframe schemas write|check``."""

from importlib.metadata import version
from pathlib import Path

import click

from leverframe.agents.cli.options import GuessingGroup, examples, json_option

__all__ = ["documents", "schemas"]

DEFAULT_FOLDER = Path("docs/schemas")


def documents() -> dict[str, str]:
    """Return every generated document.

    Returns
    -------
    dict of str to str
        File name to content.
    """
    import orjson

    from leverframe.schemas.codec import RECORDS
    from leverframe.schemas.documents import asyncapi, json_schema

    pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    files = {
        f"{topic}.schema.json": orjson.dumps(json_schema(topic), option=pretty).decode()
        for topic in RECORDS
    }
    files["asyncapi.json"] = orjson.dumps(asyncapi(version("leverframe")), option=pretty).decode()
    return files


@click.group(cls=GuessingGroup)
def schemas() -> None:
    """Write or check the JSON Schemas and the AsyncAPI document."""


@schemas.command(
    epilog=examples("leverframe schemas write", "leverframe schemas write build/schemas")
)
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_FOLDER)
@json_option
def write(folder: Path, *, as_json: bool) -> None:
    """Write all documents to FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    written = documents()
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    _say({"written": sorted(written)}, f"wrote {len(written)} documents to {folder}", as_json)


@schemas.command(epilog=examples("leverframe schemas check", "leverframe schemas check --json"))
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_FOLDER)
@json_option
def check(folder: Path, *, as_json: bool) -> None:
    """Exit with 1 if a document in FOLDER differs from the structs."""
    stale = [
        name
        for name, text in documents().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    words = "all documents agree with the structs"
    if stale:
        words = f"stale: {', '.join(stale)}; run: leverframe schemas write"
    _say({"stale": stale}, words, as_json)
    if stale:
        raise SystemExit(1)


def _say(facts: dict[str, list[str]], words: str, as_json: bool) -> None:  # noqa: FBT001 - private
    import orjson

    click.echo(orjson.dumps(facts).decode() if as_json else words)
