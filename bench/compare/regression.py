"""Whether ratios have moved away from the stored ones; absolute rates differ by machine."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["STORED", "WATCHED", "store_ratios", "stored_ratios", "warnings_of", "watched"]

STORED: Final = Path(__file__).parent / "ratios.json"
WATCHED: Final = ("getmany", "streams-eos")
TOLERANCE: Final = 0.2


def warnings_of(found: Mapping[str, float], stored: Mapping[str, float]) -> Iterator[str]:
    """Compare ratios of our rate to others'.

    Examples
    --------
    >>> list(warnings_of({"getmany": 0.1}, {"getmany": 0.2}))
    ['ours/getmany is 0.100, was 0.200: 50 % slower']
    >>> list(warnings_of({"getmany": 0.19}, {"getmany": 0.2}))
    []
    """
    for name, before in stored.items():
        now = found.get(name)
        if now is None:
            continue
        change = now / before - 1
        if abs(change) > TOLERANCE:
            cure = "" if change < 0 else "; store it: python -m bench --quick --store"
            word = "slower" if change < 0 else "faster"
            yield (
                f"ours/{name} is {now:.3f}, was {before:.3f}: {abs(change):.0%} {word}{cure}"
            ).replace("%", " %")


def watched(summary: Mapping[str, Any]) -> dict[str, float]:
    """Pick the ratios that are kept."""
    return {n: known["median"] for n, known in summary["ours_to"].items() if n in WATCHED}


def stored_ratios(path: Path = STORED) -> dict[str, float]:
    """Read what was kept."""
    if not path.is_file():
        return {}
    ratios: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return ratios


def store_ratios(found: Mapping[str, float], path: Path = STORED) -> None:
    """Keep ratios for later runs."""
    rounded = {name: round(ratio, 3) for name, ratio in found.items()}
    path.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
