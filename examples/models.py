"""Three versions of a model, by arm name; put your own model registry in their place.

Is a breast tumour benign (1) or malignant (0)? The data (Wisconsin, 569 biopsies) ships with
scikit-learn. ``python -m examples.models > rows.csv`` writes all of it, for ``batch_scorer.py``.
"""

import csv
import sys
from collections.abc import Sequence
from typing import Any, Final

from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

__all__ = ["FEATURES", "MODELS", "ask", "load_data"]

FEATURES: Final = ("mean radius", "mean texture", "mean smoothness", "mean concavity")


def load_data() -> tuple[list[list[float]], list[int]]:
    """Return the features of all biopsies, in the order of ``FEATURES``, and their labels."""
    data = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in FEATURES]
    return data.data[:, columns].tolist(), data.target.tolist()


def _train() -> dict[str, Any]:
    features, labels = load_data()
    versions = {
        "v1": (LogisticRegression(), [0, 1]),  # right for 87 % of the odd rows
        "v2": (LogisticRegression(), [0, 1, 2, 3]),  # 92 %
        "v3": (DecisionTreeClassifier(max_depth=1), [2]),  # 61 %: one to roll back
    }
    models = {
        arm: make_pipeline(make_column_transformer((StandardScaler(), columns)), model)
        for arm, (model, columns) in versions.items()
    }
    for model in models.values():
        model.fit(features[::2], labels[::2])
    return models


MODELS: Final = _train()


def ask(arm: str, rows: Sequence[Sequence[float]]) -> list[int]:
    """Return the answers of an arm's model: 1 for benign, 0 for malignant."""
    answers: list[int] = MODELS[arm].predict(rows).tolist()
    return answers


if __name__ == "__main__":
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["id", *FEATURES])
    rows.writerows([f"biopsy-{i}", *row] for i, row in enumerate(load_data()[0]))
