"""A file that holds all that an application keeps: written whole, and read if it is whole.

Gzip of frames, each a length (4 bytes, big end first) and msgpack: a ``Header``, then whatever is
kept, then an ``End`` with the number of frames and a SHA-256 over all before it.
"""

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.ledger import Loss

__all__ = [
    "FORM",
    "Entry",
    "Frame",
    "Header",
    "Kept",
    "SourceRead",
    "Unread",
    "read_state",
    "write_state",
]

FORM: Final = 2
_LENGTH: Final = 4
_LARGEST: Final = 64 << 20
_LEVEL: Final = 1


class Header(Struct, frozen=True, tag="leverframe-state", kw_only=True):
    """What a file holds the state of.

    Attributes
    ----------
    form : int
        Of the file.
    layout : int
        Of the ledgers, as ``streams.runtime.ledger.LAYOUT``.
    written_by : str
        Version of leverframe.
    application : str
        The [app] id.
    exported_at_ms : int
        Ms since the epoch.
    partitions : dict of str to int
        Of each agent.
    """

    form: int
    layout: int
    written_by: str
    application: str
    exported_at_ms: int
    partitions: dict[str, int]


class Kept(Struct, frozen=True, array_like=True, tag="p"):
    """How far a partition of an agent had read; topics are named without prefix.

    Attributes
    ----------
    agent, partition
        Whose.
    times_ms : dict of str to int
        Newest record times that were counted, ms since the epoch.
    lost : dict of str to Loss
        What was never read.
    """

    agent: str
    partition: int
    times_ms: dict[str, int]
    lost: dict[str, Loss]


class SourceRead(Struct, frozen=True, array_like=True, tag="s"):
    """How far a partition of a topic of others had been read; these frames come first.

    Attributes
    ----------
    topic, partition
        Of a source.
    newest_ms : int
        Newest record time that was read, ms since the epoch.
    """

    topic: str
    partition: int
    newest_ms: int


class Entry(Struct, frozen=True, array_like=True, tag="e", gc=False):
    """An entry of a partition's ledger."""

    agent: str
    partition: int
    key: bytes
    value: bytes


class Unread(Struct, frozen=True, array_like=True, tag="u", gc=False):
    """A record that the job wrote, or was sent, and that learning had not read.

    ``topic`` is the name without prefix.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class End(Struct, frozen=True, array_like=True, tag="z"):
    """The last frame."""

    frames: int
    digest: str


Frame: TypeAlias = Kept | SourceRead | Entry | Unread

_decode_header: Final = msgspec.msgpack.Decoder(Header).decode
_decode: Final = msgspec.msgpack.Decoder(Kept | SourceRead | Entry | Unread | End).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def write_state(path: Path, header: Header, frames: Iterable[Frame]) -> int:
    """Write a file, and return how many frames it holds; one that is there is replaced at the end.

    For nobody but its owner to read: it holds request ids, labels and users. What a failure leaves
    is removed.
    """
    part = path.with_name(path.name + ".part")
    digest, count = hashlib.sha256(), 0
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as out:
                for frame in chain([header], frames):
                    body = _encode(frame)
                    digest.update(body)
                    out.write(len(body).to_bytes(_LENGTH, "big") + body)
                    count += 1
                body = _encode(End(count, digest.hexdigest()))
                out.write(len(body).to_bytes(_LENGTH, "big") + body)
            raw.flush()
            os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return count - 1


def read_state(path: Path) -> tuple[Header, Iterator[Frame]]:
    """Return what a file says of itself, and its frames; all of it is checked first.

    Raises ``LeverframeError`` if it is no such file, was cut or changed, or is of a newer version.
    """
    header = _checked(path)
    return header, _frames(path)


def _checked(path: Path) -> Header:
    digest, count, header, end = hashlib.sha256(), 0, None, None
    try:
        with gzip.open(path, "rb") as file:
            for body in _bodies(file):
                if header is None:
                    header = _decode_header(body)
                elif isinstance(frame := _decode(body), End):
                    end = frame
                    continue
                digest.update(body)
                count += 1
    except (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise LeverframeError(f"{path}: {error.strerror}") from error
        raise LeverframeError(
            f"{path} holds no state of leverframe, or was cut: {error}; nothing was done"
        ) from error
    if header is None or end is None or (count, digest.hexdigest()) != (end.frames, end.digest):
        raise LeverframeError(
            f"{path} was cut or changed after it was written: take another copy; nothing was done"
        )
    if header.form > FORM:
        raise LeverframeError(
            f"{path} was written by leverframe {header.written_by}, in a form that this version "
            "does not know: use that one or a newer one"
        )
    return header


def _frames(path: Path) -> Iterator[Frame]:
    with gzip.open(path, "rb") as file:
        bodies = _bodies(file)
        next(bodies)
        for body in bodies:
            frame = _decode(body)
            if isinstance(frame, End):
                return
            yield frame


def _bodies(file: gzip.GzipFile) -> Iterator[bytes]:
    while length := file.read(_LENGTH):
        size = int.from_bytes(length, "big")
        if len(length) < _LENGTH or size > _LARGEST:
            raise ValueError("a frame is too large")
        body = file.read(size)
        if len(body) < size:
            raise EOFError("a frame is cut")
        yield body
