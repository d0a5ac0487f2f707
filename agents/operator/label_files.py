"""Rows of files with labels: CSV, JSON lines, Parquet. Each row is a document."""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from leverframe.schemas.errors import LeverframeError, SettingsError

__all__ = ["FORMATS", "content_id", "count_rows", "form_of", "read_rows"]

FORMATS: Final = ("csv", "jsonl", "parquet")
_ENDS: Final = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_CHUNK_BYTES: Final = 1 << 20


def form_of(file: Path) -> str:
    """Return the format that a file's name tells; ``LeverframeError`` where it tells none."""
    form = _ENDS.get(file.suffix.lower())
    if form is None:
        raise LeverframeError(
            f"{file}: the name does not tell the format; say --format {', '.join(FORMATS)}"
        )
    return form


def content_id(file: Path) -> str:
    """Return what tells a file's content from any other: 16 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256()
    with file.open("rb") as read:
        while chunk := read.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def count_rows(file: Path, form: str) -> int:
    """Return about how many rows a file has, cheaply: for the bar that shows how far one is."""
    if form == "parquet":
        rows: int = _parquet(file).metadata.num_rows
        return rows
    with file.open("rb") as read:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: read.read(_CHUNK_BYTES), b""))
    return max(0, lines - (form == "csv"))


def read_rows(file: Path, form: str) -> Iterator[tuple[int, Any]]:
    """Yield each row with its number from 1, in the order of the file.

    A cell of CSV is text, and null where it is empty. Raises ``LeverframeError`` with the line that
    is in no such format.
    """
    rows = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet_rows}[form](file)
    yield from enumerate(rows, 1)


def _csv(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig", newline="") as read:
        reader = csv.DictReader(read)
        try:
            for row in reader:
                yield {name: text or None for name, text in row.items() if name is not None}
        except (csv.Error, UnicodeDecodeError) as error:
            raise LeverframeError(f"{file}, line {reader.line_num}: {error}") from error


def _jsonl(file: Path) -> Iterator[Any]:
    with file.open("rb") as read:
        for number, line in enumerate(read, 1):
            if line.strip():
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise LeverframeError(f"{file}, line {number}: is not JSON: {error}") from error


def _parquet(file: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SettingsError('Parquet needs pyarrow: pip install "leverframe[parquet]"') from error
    try:
        return ParquetFile(file)
    except ArrowInvalid as error:
        raise LeverframeError(f"{file} is no Parquet file: {error}") from error


def _parquet_rows(file: Path) -> Iterator[Any]:
    for batch in _parquet(file).iter_batches(batch_size=10_000):
        yield from batch.to_pylist()
