"""``leverframe schemas write|check``."""

from importlib.metadata import version
from pathlib import Path

import click

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

    from schemas.codec import RECORDS
    from schemas.documents import asyncapi, json_schema

    pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    files = {
        f"{topic}.schema.json": orjson.dumps(json_schema(topic), option=pretty).decode()
        for topic in RECORDS
    }
    files["asyncapi.json"] = orjson.dumps(asyncapi(version("leverframe")), option=pretty).decode()
    return files


@click.group()
def schemas() -> None:
    """Write or check the JSON Schemas and the AsyncAPI document."""


@schemas.command()
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_FOLDER)
def write(folder: Path) -> None:
    """Write all documents to FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")
    click.echo(f"wrote {len(documents())} documents to {folder}")


@schemas.command()
@click.argument("folder", type=click.Path(path_type=Path), default=DEFAULT_FOLDER)
def check(folder: Path) -> None:
    """Exit with 1 if a document in FOLDER differs from the structs."""
    stale = [
        name
        for name, text in documents().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    if stale:
        click.echo(f"stale: {', '.join(stale)}; run: leverframe schemas write", err=True)
        raise SystemExit(1)
    click.echo("all documents agree with the structs")
