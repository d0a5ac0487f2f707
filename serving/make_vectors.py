"""Writes ``vectors.json``: assignments that implementations in any language must reproduce.

Run ``python -m leverframe.serving.make_vectors`` only when the hash changes: every unit is then
assigned anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from leverframe.serving.assigner import Assigner

__all__ = ["cases", "main"]

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


def main() -> None:
    """Write the file beside this module."""
    document = {"algorithm": "serving/assigner.py", "cases": cases()}
    path = Path(__file__).with_name("vectors.json")
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text.replace('{"weights"', '\n{"weights"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
