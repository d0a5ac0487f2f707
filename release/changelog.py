"""``python -m release.changelog VERSION DAY``: move the fragments into the changelog."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["SECTIONS", "Fragment", "collect", "entry_of", "read_fragments"]

SECTIONS: Final = ("security", "removed", "deprecated", "added", "changed", "fixed")
_ROOT: Final = Path(__file__).parents[1]
_FRAGMENT: Final = re.compile(r"(?P<name>.+)\.(?P<section>[a-z]+)\.md")
_VERSION: Final = re.compile(r"^## \[(?P<version>[^\]]+)\] - (?P<day>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Fragment:
    """One change, as its file in ``changelog.d/`` says it."""

    file: str
    section: str
    text: str


def read_fragments(folder: Path) -> list[Fragment]:
    """Return all fragments by file name; a file that is none is an error with its name."""
    fragments = []
    for path in sorted(folder.iterdir()):
        if path.name == "README.md":
            continue
        named = _FRAGMENT.fullmatch(path.name)
        if named is None or named["section"] not in SECTIONS:
            raise ValueError(
                f"{path.name} is no fragment: its name must end in one of "
                f"{', '.join(f'.{section}.md' for section in SECTIONS)}"
            )
        text = path.read_text("utf-8").strip()
        if not text:
            raise ValueError(f"{path.name} is empty: say what is different, or delete it")
        fragments.append(Fragment(path.name, named["section"], text))
    return fragments


def collect(changelog: str, fragments: Iterable[Fragment], version: str, day: str) -> str:
    """Return the changelog with all fragments under that version, which gets that day.

    The version's entry may be there, marked ``unreleased``: its text stays, and comes first.
    """
    entries = list(_VERSION.finditer(changelog))
    found = next((each for each in entries if each["version"] == version), None)
    if found is not None and found["day"] != "unreleased":
        raise ValueError(f"{version} was released on {found['day']}: raise __version__ first")
    starts = [each.start() for each in entries] + [len(changelog)]
    begin = found.start() if found else starts[0]
    end = next(start for start in starts if start > begin) if found else begin
    sections = _sections(changelog[found.end() : end] if found else "")
    for fragment in fragments:
        # A fragment's links begin in its own folder.
        item = "- " + fragment.text.replace("\n", "\n  ").replace("](../", "](")
        sections.setdefault(fragment.section, []).append(item)
    body = "".join(
        f"### {section.capitalize()}\n\n" + "\n".join(sections[section]) + "\n\n"
        for section in SECTIONS
        if sections.get(section)
    )
    entry = f"## [{version}] - {day}\n\n{body}"
    return (changelog[:begin] + entry + changelog[end:]).rstrip() + "\n"


def entry_of(changelog: str, version: str) -> tuple[str, str]:
    """Return day and text of a version; ("", "") where it has no entry."""
    entries = list(_VERSION.finditer(changelog))
    for each, after in zip(entries, [*entries[1:], None], strict=True):
        if each["version"] == version:
            end = after.start() if after else len(changelog)
            return each["day"], changelog[each.end() : end].strip()
    return "", ""


def _sections(entry: str) -> dict[str, list[str]]:
    parts = re.split(r"^### (.+)$", entry, flags=re.MULTILINE)
    return {
        name.lower(): [text.strip()] for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def main(version: str, day: str) -> None:
    """Write ``CHANGELOG.md`` and delete the fragments' files."""
    folder, path = _ROOT / "changelog.d", _ROOT / "CHANGELOG.md"
    fragments = read_fragments(folder)
    path.write_text(collect(path.read_text("utf-8"), fragments, version, day), "utf-8")
    for fragment in fragments:
        (folder / fragment.file).unlink()
    print(f"{len(fragments)} fragments moved into CHANGELOG.md under {version}, {day}")


if __name__ == "__main__":
    main(*sys.argv[1:])
