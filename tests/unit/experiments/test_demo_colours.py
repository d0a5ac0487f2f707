"""The demo's picture and the dashboard show an arm in the same colour."""

import re

from doc_blocks import ROOT

from leverframe.agents.web.palette import COLOURS
from leverframe.experiments.demo import plot
from leverframe.experiments.demo.models import ARMS


def test_picture_and_page_agree_on_colours() -> None:
    """The page colours arms by the order in which they were registered, as the demo does."""
    script = (ROOT / "agents/web/static/dom.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"const COLOURS = \[(.*?)\];", script)
    on_the_page = re.findall(r"#[0-9a-f]{6}", listed)
    assert list(COLOURS) == on_the_page
    assert [plot.COLOURS[arm] for arm in ARMS] == on_the_page[: len(ARMS)]
