"""Code blocks of the Markdown pages, in their order."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "docs/adr", "docker", "examples", "changelog.d")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What ends a command in a line of shell.
_ENDS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>"}


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found[1], found[2])


def blocks(*languages: str) -> list[Block]:
    """Give the blocks of all pages that are in one of some languages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in lines of shell; comments and output are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line.removeprefix("$ "), comments=True)
        except ValueError:  # a quotation that goes on: output, not a command
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word not in _ENDS:
                command.append(word)
            elif command:
                yield command
                command = []
