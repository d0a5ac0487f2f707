"""The documentation's site: Sphinx over the Markdown pages as they lie in the repository.

``make site`` builds it. The source folder is the repository, so every relative link of a page is
the same here as where the code is shown; the side bar follows the map in ``docs/index.md``.
"""

import html
import re
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive

from leverframe import __version__

ROOT = Path(__file__).parents[1]

project = "Leverframe"
author = "the Leverframe authors"
release = __version__
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docker/README.md",
    "examples/README.md",
    "changelog.d/README.md",
    "experiments/report/README.md",
    "agents/web/static/vendor/uplot/README.md",
]
exclude_patterns = [".*", "build", "leverframe", "dist", "tests", "docs/_*", "*-output", "*-data"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]  # the README scales its picture
myst_fence_as_directive = ["mermaid"]
# Types stand in the docstrings, which are held against the code (pydoclint).
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_preprocess_types = True
napoleon_use_ivar = True
# Types in docstrings are for people: "str or None", "mapping of str to float".
nitpick_ignore_regex = [("py:(class|exc)", ".*")]
# A field such as "mean" is no reference to the attributes of that name elsewhere.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "Leverframe"
html_favicon = "../agents/web/static/icon.svg"
html_static_path = ["_static"]
html_js_files = ["vendor/mermaid/mermaid.tiny.js", "diagrams.js"]
html_copy_source = False
html_extra_path = ["_root"]

MAP_SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PAGE_LINK = re.compile(r"\]\(([^)#:\s]+)\.(?:md|rst)\)")


class Mermaid(Directive):
    """A diagram, drawn by the reader's browser; its text where there is no script."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Return the text in the element that mermaid looks for."""
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


def add_contents(app: Any, name: str, source: list[str]) -> None:
    """Make the side bar from the map: a heading is a caption, links are its pages in order."""
    del app
    if name.startswith("agents/"):  # pages that a page names, and no part of the map
        source[0] = f"---\norphan: true\n---\n{source[0]}"
    if name != root_doc:
        return
    seen: set[str] = set()
    for caption, text in MAP_SECTION.findall(source[0]):
        pages = [link for link in PAGE_LINK.findall(text) if link not in seen]
        seen.update(pages)
        if pages:
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
            source[0] += "\n".join(pages) + "\n```\n"


def setup(app: Any) -> None:
    """Add what is above."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", add_contents)
