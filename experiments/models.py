"""The real models of the experiment: two that are trained once a chunk, one that keeps learning."""

import warnings
from typing import Any, Final

import numpy as np

from leverframe.experiments.stream import Bools, Floats, Ints, Stream

__all__ = ["KINDS", "fit_batch", "predict_online"]

KINDS: Final = ("logistic", "boosting")
_NUMERIC_CLIP: Final = 5.0


def fit_batch(kind: str, features: Floats, labels: Ints, categorical: Bools, seed: int) -> Any:
    """Train one model on one chunk, classes weighted equally."""
    from sklearn.compose import make_column_transformer
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    model: Any
    if len(np.unique(labels)) < 2:  # a chunk without fraud teaches nothing
        model = DummyClassifier()
    elif kind == "boosting":
        model = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=15,
            categorical_features=categorical,
            class_weight="balanced",
            random_state=seed,
        )
    else:
        columns = make_column_transformer(
            (StandardScaler(), np.flatnonzero(~categorical).tolist()),
            (OneHotEncoder(handle_unknown="ignore"), np.flatnonzero(categorical).tolist()),
        )
        regression = LogisticRegression(class_weight="balanced", max_iter=150, tol=1e-3)
        model = make_pipeline(columns, regression)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # early stopping by max_iter is meant
        model.fit(features, labels)
    return model


def predict_online(stream: Stream, first: int, delay: int) -> Ints:
    """Predict every row with an online model that learns each label as soon as it arrives.

    Shape (n,): predicted before the row's label was known; 0 in the first chunk.
    """
    from river.linear_model import LogisticRegression
    from river.optim import SGD

    weight = class_weights(stream.labels[:first])
    model: Any = LogisticRegression(SGD(0.02))
    scaled = _standardised(stream, first)
    names = list(range(stream.features.shape[1]))
    rows = [
        _entries(names, row, stream.categorical.tolist())
        for row in np.where(stream.categorical, stream.features, scaled).tolist()
    ]
    labels = stream.labels.tolist()
    predicted = np.zeros(stream.rows, dtype=np.int64)

    def learn(at: int) -> None:
        model.learn_one(rows[at], bool(labels[at]), w=weight[labels[at]])

    for at in range(first):
        learn(at)
    for at in range(first, stream.rows):
        if at - delay >= first:
            learn(at - delay)
        predicted[at] = model.predict_one(rows[at])
    return predicted


def class_weights(labels: Ints) -> tuple[float, float]:
    """Return the weights that make both classes count the same.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]))
    (0.6666666666666666, 2.0)
    """
    share = min(max(float(labels.mean()), 1e-3), 1 - 1e-3)
    return 0.5 / (1.0 - share), 0.5 / share


def _standardised(stream: Stream, first: int) -> Floats:
    """Numbers in units of the first chunk's spread, clipped lest one gradient explode."""
    known = stream.features[:first]
    spread = known.std(axis=0)
    scaled = (stream.features - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    result: Floats = np.clip(scaled, -_NUMERIC_CLIP, _NUMERIC_CLIP)
    return result


def _entries(names: list[int], row: list[float], categorical: list[bool]) -> dict[Any, float]:
    """A row as river takes it: numbers by column, categories as one entry of 1 each."""
    entries: dict[Any, float] = {}
    for name, value, is_category in zip(names, row, categorical, strict=True):
        if is_category:
            entries[name, value] = 1.0
        else:
            entries[name] = value
    return entries
