"""The file of an application's state: whole or refused, and never half written."""

import gzip
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from leverframe.agents.operator.state_file import (
    FORM,
    Entry,
    Frame,
    Header,
    Kept,
    SourceRead,
    Unread,
    read_state,
    write_state,
)
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.ledger import Loss

HEADER = Header(
    form=FORM,
    layout=1,
    written_by="0.1.0",
    application="leverframe",
    exported_at_ms=1_700_000_000_000,
    partitions={"attribution": 4, "learning": 2},
)
FRAMES: list[Frame] = [
    SourceRead("clicks", 3, 1_700_000_000_000),
    Kept("attribution", 0, {"predictions": 99}, {"predictions": Loss(3, 7)}),
    Entry("attribution", 0, b"x", b"\x00" * 300),
    Entry("learning", 1, b"r", b""),
    Unread("rewards", 1, b"r", b"{}", [("h", b"v")], 5),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.state"
    assert write_state(path, HEADER, FRAMES) == len(FRAMES)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    """In order, and for its owner alone."""
    header, frames = read_state(file)
    assert header == HEADER
    assert [*frames] == FRAMES
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["x.state"]


def test_the_same_state_is_the_same_file(file: Path) -> None:
    """So that backups that changed nothing can be told."""
    again = file.with_name("y.state")
    write_state(again, HEADER, FRAMES)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("left", [0, 5, 40, -9, -1])
def test_a_file_that_was_cut_is_refused(file: Path, left: int) -> None:
    """Wherever the cut is."""
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(LeverframeError, match="cut"):
        read_state(file)


def test_a_file_of_which_anything_was_changed_is_refused(file: Path) -> None:
    """Frames that are left out, doubled or altered: each makes another digest."""
    whole = gzip.decompress(file.read_bytes())
    bodies, at = [], 0
    while at < len(whole):
        size = int.from_bytes(whole[at : at + 4], "big")
        bodies.append(whole[at : at + 4 + size])
        at += 4 + size
    for wrong in (
        bodies[:1] + bodies[2:],
        bodies[:2] + bodies[1:],
        bodies[:-1],
        [*bodies[:2], bodies[2][:-1] + b"\x01", *bodies[3:]],
    ):
        file.write_bytes(gzip.compress(b"".join(wrong)))
        with pytest.raises(LeverframeError, match=r"cut or changed|holds no state"):
            read_state(file)


# Named, since gzip writes the time: a name of its bytes is another one in each process of pytest.
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", gzip.compress(b""), gzip.compress(b"\xff" * 99)],
    ids=["empty", "plain", "nothing packed", "rubbish packed"],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """In one line with its name."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(LeverframeError, match="other"):
        read_state(path)


def test_a_form_of_the_future_is_refused(tmp_path: Path) -> None:
    """With the version that can read it."""
    path = tmp_path / "newer"
    write_state(path, structs.replace(HEADER, form=FORM + 1, written_by="9.8.7"), [])
    with pytest.raises(LeverframeError, match=r"leverframe 9\.8\.7"):
        read_state(path)


def test_a_failure_leaves_the_file_of_before(file: Path) -> None:
    """And nothing beside it."""
    before = file.read_bytes()

    def broken() -> Iterator[Frame]:
        yield FRAMES[0]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_state(file, HEADER, broken())
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == ["x.state"]
