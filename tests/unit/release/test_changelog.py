"""The changelog of a release: nothing of a fragment is lost, nothing of older versions moves."""

import re
from pathlib import Path

import pytest

from release.changelog import Fragment, collect, entry_of, read_fragments
from release.readiness import faults_of

OLDER = """# Changelog

All changes.

## [0.2.0] - unreleased

### Security

- Signed.

### Added

Install
- One thing.

## [0.1.0] - 2026-01-02

### Fixed

- An old fault.
"""
FRAGMENTS = [
    Fragment("a.fixed.md", "fixed", "A fault of\n[two](../docs/two.md) lines."),
    Fragment("b.added.md", "added", "Another thing."),
]
HEAD = "c0ffee123456"


def test_fragments_come_under_their_sections() -> None:
    """What stood there stays first; sections stand in the order of the changelog."""
    got = collect(OLDER, FRAGMENTS, "0.2.0", "2026-03-04")
    day, text = entry_of(got, "0.2.0")
    assert day == "2026-03-04"
    assert text == (
        "### Security\n\n- Signed.\n\n### Added\n\nInstall\n- One thing.\n- Another thing.\n\n"
        "### Fixed\n\n- A fault of\n  [two](docs/two.md) lines."
    )
    assert entry_of(got, "0.1.0") == entry_of(OLDER, "0.1.0")
    assert got.startswith("# Changelog\n\nAll changes.\n\n## [0.2.0] - 2026-03-04\n")
    assert got.endswith("- An old fault.\n")


def test_a_version_without_an_entry_comes_first() -> None:
    """The newest version stands on top."""
    got = collect(OLDER, FRAGMENTS, "0.3.0", "2026-03-04")
    assert got.index("## [0.3.0] - 2026-03-04") < got.index("## [0.2.0] - unreleased")
    assert entry_of(got, "0.2.0") == entry_of(OLDER, "0.2.0")


def test_what_was_released_is_not_changed() -> None:
    """The error says since when, and what to do."""
    with pytest.raises(ValueError, match=r"0\.1\.0 was released on 2026-01-02: raise __version__"):
        collect(OLDER, FRAGMENTS, "0.1.0", "2026-03-04")


def test_files_that_are_no_fragments_are_named(tmp_path: Path) -> None:
    """A section that is misspelt would be lost in silence."""
    (tmp_path / "README.md").write_text("not one")
    (tmp_path / "12.added.md").write_text("A thing.\n")
    assert read_fragments(tmp_path) == [Fragment("12.added.md", "added", "A thing.")]
    (tmp_path / "13.fix.md").write_text("A fault.")
    with pytest.raises(ValueError, match=r"13\.fix\.md is no fragment.*\.fixed\.md"):
        read_fragments(tmp_path)
    (tmp_path / "13.fix.md").unlink()
    (tmp_path / "14.fixed.md").touch()
    with pytest.raises(ValueError, match=r"14\.fixed\.md is empty"):
        read_fragments(tmp_path)


def test_ours_can_be_collected() -> None:
    """Every fragment of this checkout has a section that is one."""
    root = Path(__file__).parents[3]
    read_fragments(root / "changelog.d")


def test_a_version_that_is_ready_has_no_fault() -> None:
    """Collected, dated, committed, its tag here or nowhere."""
    got = collect(OLDER, FRAGMENTS, "0.2.0", "2026-03-04")
    assert faults_of("0.2.0", got, [], [], "", HEAD) == []
    assert faults_of("0.2.0", got, [], [], HEAD, HEAD) == []


@pytest.mark.parametrize(
    ("version", "fragments", "changed", "tagged", "told"),
    [
        ("0.2.0.dev1", [], [], "", "is not X.Y.Z"),
        ("0.2.0", FRAGMENTS, [], "", "holds 2 fragments"),
        ("0.2.0", [], [], "", "is dated 'unreleased'"),
        ("0.3.0", [], [], "", "has no entry"),
        ("0.1.0", [], ["?? notes.txt"], "", "not committed: .* notes.txt"),
        ("0.1.0", [], [], "deadbeef1", "tag v0.1.0 is on deadbeef1, this is c0ffee123"),
    ],
)
def test_what_is_not_ready_is_told(
    version: str, fragments: list[Fragment], changed: list[str], tagged: str, told: str
) -> None:
    """Each by itself, beside the others."""
    faults = faults_of(version, OLDER, fragments, changed, tagged, HEAD)
    assert [fault for fault in faults if re.search(told, fault)]
