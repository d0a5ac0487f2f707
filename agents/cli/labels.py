"""``leverframe labels load``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["labels"]


@click.group(cls=GuessingGroup)
def labels() -> None:
    """Labels that come as files, from a warehouse at night."""


@labels.command(
    epilog=examples(
        "leverframe labels load outcomes.csv --request-id application --label outcome "
        "--map approved=1 --map declined=0",
        "leverframe labels load outcomes.parquet --source outcomes",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(("csv", "jsonl", "parquet")))
@click.option("--source", help="Map rows as this source of the settings does.")
@click.option("--request-id", default="request_id", show_default=True, help="Column, or JMESPath.")
@click.option("--label", default="label", show_default=True, help="Column, or JMESPath.")
@click.option("--part", help="Column with the name of the label's part.")
@click.option("--labelled-at", help="Column with the label's time.")
@click.option(
    "--unit",
    type=click.Choice(("s", "ms", "us", "ns", "iso8601")),
    default="ms",
    show_default=True,
    help="Of that time.",
)
@click.option("--map", "words", multiple=True, metavar="WORD=VALUE", help="What a label means.")
@click.option("--filter", "wanted", default="", help="JMESPath; other rows are passed over.")
@config_option
@json_option
def load(file: Path, config: Path | None, *, as_json: bool, form: str | None, **how: Any) -> None:
    """Write the labels of FILE to ground-truth, each row once.

    A load that was stopped goes on where it was; a content that was loaded is not loaded again.
    Rows that cannot be mapped are told, the others are loaded; then the exit code is 1.
    """
    from leverframe.agents.operator.label_files import count_rows, form_of
    from leverframe.agents.operator.labels import faults_told, load_labels
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.errors import LeverframeError

    if not file.exists():
        raise LeverframeError(f"{file} does not exist")
    settings = load_settings(config)
    form = form or form_of(file)
    mapping = _mapping(settings, form, **how)
    with _progress(count_rows(file, form), hidden=as_json) as report:
        done = run_connected(
            settings,
            [settings.topic_names.ground_truth],
            lambda: load_labels(settings, file, form, mapping, report),
            counted=True,
        )
    if as_json:
        import orjson
        from msgspec import to_builtins

        click.echo(orjson.dumps(to_builtins(done)).decode())
    else:
        for line in faults_told(done):
            click.echo(printable(line), err=True)
        before = f", {done.done_before:,} were there before" if done.done_before else ""
        click.echo(
            f"{done.labels:,} labels of {done.rows:,} rows written{before}; "
            f"{done.passed_over:,} passed over, {done.faulty:,} faulty",
            err=True,
        )
    if done.faulty:
        raise SystemExit(1)


def _mapping(
    settings: Any,
    form: str,
    *,
    source: str | None,
    request_id: str,
    label: str,
    part: str | None,
    labelled_at: str | None,
    words: Sequence[str],
    **more: str,
) -> Any:
    from leverframe.schemas.errors import LeverframeError
    from leverframe.streams.sources.compiled import compile_source
    from leverframe.streams.sources.settings import FieldSettings, SourceSettings

    if source is not None:
        if source not in settings.sources:
            raise LeverframeError(f"the settings have no source {source!r}")
        own = settings.sources[source]
        if own.kind != "ground-truth":
            raise LeverframeError(f"source {source} is of predictions; a file holds labels")
        own = _as_they_look(own) if form == "csv" else own
        return compile_source(source, own, settings.app.max_value_bytes)
    at: Any = {"path": labelled_at, "unit": more["unit"]}
    written = SourceSettings(
        topic="file",
        kind="ground-truth",
        filter=more["wanted"],
        request_id=FieldSettings(path=request_id),
        label=FieldSettings(path=label, map=dict(_word(word) for word in words)),
        part=None if part is None else FieldSettings(path=part),
        labelled_at_ms=None if labelled_at is None else FieldSettings(**at),
    )
    written = _as_they_look(written) if form == "csv" else written
    return compile_source("file", written, settings.app.max_value_bytes)


def _as_they_look(written: Any) -> Any:
    """Let labels be the numbers that they look like: all cells of CSV are text, and so stay ids."""
    from msgspec import structs

    def auto(one: Any) -> Any:
        is_plain = one is not None and one.type is None and not one.map
        return structs.replace(one, type="auto") if is_plain else one

    parts = {name: auto(one) for name, one in written.parts.items()}
    return structs.replace(
        written, label=auto(written.label), parts=parts, parts_of=auto(written.parts_of)
    )


def _word(text: str) -> tuple[str, Any]:
    import orjson

    word, sign, value = text.partition("=")
    if not sign:
        raise click.UsageError(f"--map {text}: say what it means, as in approved=1")
    try:
        return word, orjson.loads(value)
    except orjson.JSONDecodeError:
        return word, value


def _progress(rows: int, *, hidden: bool) -> Any:
    """A bar on standard error, where that is a terminal; enter it to be given what moves it."""
    from contextlib import contextmanager

    @contextmanager
    def shown() -> Any:
        import sys

        if hidden or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("rows", total=rows)
            yield lambda done: bar.update(task, completed=done)

    return shown()
