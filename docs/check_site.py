"""Follows every local link of the built site; needs no network. Part of ``make site``."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Links and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere, and where one can be led."""
        del tag
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.append(value)
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Return ``page: link`` for each link that leads nowhere.

    Parameters
    ----------
    site : Path
        Folder of the pages.

    Returns
    -------
    list of str
        Empty when all is well.
    """
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages.get(target)
            lost = known is not None and parts.fragment and parts.fragment not in known.anchors
            if not target.exists() or lost:
                dead.append(f"{path.relative_to(site.resolve())}: {link}")
    if not pages:
        dead.append(f"{site}: no pages")
    return dead


if __name__ == "__main__":
    found = dead_links(Path(sys.argv[1]))
    sys.exit("\n".join(["links that lead nowhere:", *found]) if found else 0)
