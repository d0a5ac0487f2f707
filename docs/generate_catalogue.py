"""Writes the lists of what settings can name: ``python docs/generate_catalogue.py [--check]``.

Reward functions, policies and detectors: names, parameters, types and defaults come from the
dataclasses, meanings, units and ranges from their docstrings; the examples are loaded by a test.
"""

import dataclasses
import math
import re
import sys
import typing
from collections.abc import Iterator, Mapping
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

from leverframe.policies import detectors, registry, rewards
from leverframe.policies.factory import Family

__all__ = ["PAGES", "catalogue_page"]

_HERE: Final = Path(__file__).parent

_REWARDS: Final = """\
# Reward functions

Generated from the code by `python docs/generate_catalogue.py`; do not edit.

What a label is worth, given the prediction: one number, higher is better. A route names one in
`[routes.NAME] reward`, `accuracy` when left out. Its range is what is mapped to [0, 1] for guard
and policies. Another: a dataclass like those of `policies/rewards.py`, as an entry point of the
group `leverframe.rewards`.

A prediction or label that a function cannot read (a text where it needs a number) is a dead letter
`unrewardable`.
"""
_POLICIES: Final = """\
# Policies

Generated from the code by `python docs/generate_catalogue.py`; do not edit.

From the arms' statistics to their shares of traffic. A route names one in `[routes.NAME] policy`
(`thompson` when left out) and others beside it in `shadow`; `leverframe set-policy` changes it.
Which one to take: [which-policy.md](which-policy.md). Another: a dataclass like those of
`policies/`, as an entry point of the group `leverframe.policies`.

Rewards are mapped to [0, 1] before a policy sees them; "ours" marks defaults that no paper gives.
"""
_DETECTORS: Final = """\
# Drift detectors

Generated from the code by `python docs/generate_catalogue.py`; do not edit.

Each looks at one arm's rewards, mapped to [0, 1], against that arm's own past. A route lists them
in `[routes.NAME] detectors`, a plain name or a table each; `on_drift` says what a drift to the
worse does: `note` (a control message says so, the default), `hold` (the arm's share does not grow
for `hold_s` seconds) or `rollback`.
"""
# Page -> its family, how it begins, the key of a route that takes such a name.
PAGES: Final[Mapping[str, tuple[Family, str, str]]] = {
    "reward-functions.md": (rewards.FAMILY, _REWARDS, "reward"),
    "policies.md": (registry.FAMILY, _POLICIES, "policy"),
    "detectors.md": (detectors.FAMILY, _DETECTORS, "detectors"),
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "cost_matrix": '{ costs = { "fraud" = { "ok" = 25.0 }, "ok" = { "fraud" = 1.0 } } }',
    "label": "{ low = 0.0, high = 500.0 }",
    "static": "{ weights = { model-2 = 0.9, model-3 = 0.1 } }",
    "exp3": "{ gamma = 0.1, eta = 0.02 }",
}
_WORDS: Final = {float: "number", int: "whole number", str: "text", bool: "true or false"}


def catalogue_page(name: str) -> str:
    """Return a whole page."""
    family, head, key = PAGES[name]
    lines = [head]
    for word, kind in family.kinds.items():
        lines += [f"## `{word}`", "", _summary(kind), ""]
        if key == "reward":
            lines += [f"Range: {_range(kind)}.", ""]
        if fields := dataclasses.fields(kind):
            meanings = dict(_meanings(kind))
            hints = typing.get_type_hints(kind)
            lines += [
                "| parameter | type | default | meaning, unit and range |",
                "|---|---|---|---|",
            ]
            for field in fields:
                cells = (
                    f"`{field.name}`",
                    _type(hints[field.name]),
                    _default(field),
                    meanings[field.name],
                )
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            lines.append("")
        lines += ["```toml", "[routes.checkout]", *_example(word, kind, key), "```", ""]
    return "\n".join(lines)


def _summary(kind: type[Any]) -> str:
    """What stands before the parameters."""
    text = re.split(r"\n\n(?=[A-Z]\w+\n-+\n)", getdoc(kind) or "")[0]
    return _plain(text)


def _range(kind: type[Any]) -> str:
    return (
        _plain(getdoc(kind.range) or "").rstrip(".").replace("Low", "low").replace("Minus", "minus")
    )


def _meanings(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of every parameter in the docstring's ``Parameters``."""
    names: list[str] = []
    text: list[str] = []
    section = (getdoc(kind) or "").partition("Parameters\n----------\n")[2]
    for line in [*section.partition("\n\n")[0].splitlines(), "end : str"]:
        if line.strip() and not line.startswith(" "):
            yield from ((name, _plain(" ".join(text))) for name in names)
            names, text = line.partition(" : ")[0].replace(" ", "").split(","), []
        else:
            text.append(line.strip())


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("``", "`")


def _type(of: Any) -> str:
    if typing.get_origin(of) is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in typing.get_args(of))
    if typing.get_origin(of) is dict:
        return "table of tables"
    options = [one for one in typing.get_args(of) if one is not type(None)] or [of]
    return _WORDS[options[0]]


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if value is dataclasses.MISSING:
        return "required"
    if value is None:
        return "see there"
    return f"`{_literal(value)}`"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isclose(value, round(value, 6), rel_tol=1e-12):
        return f"{value:.6g}"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _example(word: str, kind: type[Any], key: str) -> list[str]:
    params = _EXAMPLES.get(word) or _defaults(kind)
    tail = f", params = {params}" if params else ""
    if key == "detectors":
        return [f'detectors = [{{ name = "{word}"{tail}, on_drift = "hold" }}]']
    if not params:
        return [f'{key} = "{word}"']
    lines = [f'{key} = {{ name = "{word}"{tail} }}']
    return [*lines, "context_dimension = 4"] if word.startswith("lin_") else lines


def _defaults(kind: type[Any]) -> str:
    fields = [field for field in dataclasses.fields(kind) if field.default is not None]
    known = [f"{field.name} = {_literal(field.default)}" for field in fields]
    return f"{{ {', '.join(known)} }}" if known else ""


def main() -> int:
    """Write the pages, or compare them."""
    is_check = "--check" in sys.argv[1:]
    code = 0
    for name in PAGES:
        page, target = catalogue_page(name), _HERE / name
        if not is_check:
            target.write_text(page, encoding="utf-8")
            print(f"wrote {name}")
            continue
        is_same = target.is_file() and target.read_text(encoding="utf-8") == page
        print(f"{name}: {'up to date' if is_same else 'stale'}")
        code = code or int(not is_same)
    return code


if __name__ == "__main__":
    sys.exit(main())
