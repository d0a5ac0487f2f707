"""Writes ``vectors.json``: assignments that implementations in any language must reproduce.

Run ``python -m leverframe.serving.make_vectors`` only when the hash changes: every unit is then
assigned anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from leverframe.serving.assigner import Assigner
from leverframe.serving.shadows import is_drawn

__all__ = ["cases", "main", "shadow_cases"]

_WEIGHTS: Final[list[dict[str, float]]] = [
    {"a": 1.0},
    {"a": 0.5, "b": 0.5},
    {"a": 0.0, "b": 1.0},
    {"a": 0.999, "b": 0.001},
    {"v1": 0.3, "v2": 0.3, "v3": 0.4},
    {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4},
    {"a": 0.3333333333333333, "b": 0.3333333333333333, "c": 0.3333333333333333},
    {"a": 1e-9, "b": 0.999999999},
    {"modèle-é": 0.25, "模型": 0.25, "model 3": 0.5},
    {f"arm-{i}": 0.1 for i in range(10)},
    {"a": 2.0, "b": 6.0},
]
_UNITS: Final = ["", "0", "unit", "用户-7", "é", "\U0001f600", "x" * 128, "with space", "a/b?c=d"]


def cases() -> list[dict[str, Any]]:
    """Return the test cases.

    Returns
    -------
    list of dict
        Weights, salt, unit, and the arm and propensity that must come out.
    """
    made = []
    for number, weights in enumerate(_WEIGHTS):
        salt = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        assigner = Assigner(weights, salt)
        for unit in [*_UNITS, *(f"request-{i}" for i in range(100))]:
            arm, propensity = assigner.assign(unit)
            made.append(
                {
                    "weights": weights,
                    "salt": salt,
                    "unit": unit,
                    "arm": arm,
                    "propensity": propensity,
                }
            )
    return made


def shadow_cases() -> list[dict[str, Any]]:
    """Return the test cases of requests that are drawn for shadows.

    Returns
    -------
    list of dict
        Share, salt, request, and whether it is drawn.
    """
    return [
        {
            "shadow_share": share,
            "salt": f"{number:016x}",
            "request_id": request,
            "is_drawn": is_drawn(share, f"{number:016x}", request),
        }
        for number, share in enumerate((0.0, 0.01, 0.3, 0.5, 0.999, 1.0))
        for request in [*_UNITS, *(f"request-{i}" for i in range(50))]
    ]


def main() -> None:
    """Write the file beside this module."""
    document = {
        "algorithm": "serving/assigner.py",
        "cases": cases(),
        "shadows": {"algorithm": "serving/shadows.py", "cases": shadow_cases()},
    }
    path = Path(__file__).with_name("vectors.json")
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for first in ('{"weights"', '{"shadow_share"', '"shadows"'):
        text = text.replace(first, "\n" + first)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
