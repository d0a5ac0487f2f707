"""Draws an arm's life from the table of transitions: ``python docs/generate_rollout.py``.

``tests/architecture/test_docs.py`` compares the page with the table.
"""

from pathlib import Path
from typing import Final

from leverframe.streams.learning.rollout import TRANSITIONS

__all__ = ["TARGET", "rollout_page"]

TARGET: Final = Path(__file__).parent / "rollout.md"

_HEAD: Final = """\
# An arm's life

Generated from `TRANSITIONS` of `streams/learning/rollout.py` by
`python docs/generate_rollout.py`; do not edit.

An arm with the phase nursery, candidate or champion is *eligible*: it may receive traffic. The
champion is the arm that traffic returns to. What makes an arm change its phase:

- *registered*, *retired*: by command (`leverframe arm register|retire`), or registered by the first
  reward that names it;
- *grown*: it had `nursery_labels` labels;
- *promoted*: by command, or proved better than the champion; or it takes over when a champion
  leaves;
- *succeeded*: another arm was promoted. The old champion joins the history of last known good ones,
  with the epoch, the labels, the mean reward and the verdict that it had;
- *rolled back*: by command, or harmful by the guard, or a drift with `on_drift = "rollback"`. For
  `cooldown_s` after it no challenger's share grows and none is promoted by itself; a suspect that
  is on probation keeps its phase;
- *released*: by command. It starts at the nursery share with fresh evidence; the number of starts
  goes on, so its error budget is not renewed.

Everything else is refused, with the reason.
"""


def rollout_page() -> str:
    """Return the whole page.

    Returns
    -------
    str
        Markdown with a Mermaid diagram.
    """
    lines = [_HEAD, "```mermaid", "stateDiagram-v2"]
    for (before, event), after in TRANSITIONS.items():
        lines.append(f"    {before or '[*]'} --> {after}: {event}")
    return "\n".join([*lines, "    retired --> [*]", "```", ""])


if __name__ == "__main__":
    TARGET.write_text(rollout_page(), encoding="utf-8")
