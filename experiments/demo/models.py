"""Real models on real data: NASA's Shuttle sensor log, which the river package brings along.

49,097 readings of nine sensors, 7 % of them anomalies. The demo draws anomalies and normal readings
equally often, so that both kinds of mistake count, and says so.
"""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ARMS",
    "BYSTANDER",
    "CHALLENGER",
    "CHAMPION",
    "Data",
    "corrupt",
    "draw_row",
    "load_data",
    "train",
]

CHAMPION: Final = "logistic-v1"
CHALLENGER: Final = "forest-v2"
BYSTANDER: Final = "bayes-v1"
ARMS: Final = (CHAMPION, BYSTANDER, CHALLENGER)
_TRAINING_ROWS: Final = 8000
# What the first two models see; the forest sees all nine sensors.
_FEW_SENSORS: Final = [4, 7]


class Model(Protocol):
    """Something that tells anomalies (1) from normal readings (0)."""

    def predict(self, features: NDArray[np.float64]) -> Sequence[int]:
        """Return a class for each row of features, shape (n, 9)."""
        ...


class Data:
    """The readings, split into rows for training and rows for the stream.

    Parameters
    ----------
    features : NDArray[np.float64]
        Shape (n, 9).
    labels : NDArray[np.int64]
        Shape (n,): 1 for an anomaly.
    seed : int
        Of the split.
    """

    def __init__(self, features: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> None:
        self.features = features
        self.labels = labels
        order = np.random.default_rng(seed).permutation(len(labels))
        self.training = order[:_TRAINING_ROWS]
        rest = order[_TRAINING_ROWS:]
        self.by_class = [rest[labels[rest] == value] for value in (0, 1)]


def load_data(seed: int) -> Data:
    """Read the Shuttle data from river's package files."""
    from river import datasets

    path = Path(datasets.Shuttle().path)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    return Data(table[:, :-1], table[:, -1].astype(np.int64), seed)


def draw_row(data: Data, seed: int, index: int) -> int:
    """Return the reading that request number ``index`` is about; either class is equally likely."""
    rng = np.random.default_rng((seed, index))
    rows = data.by_class[int(rng.integers(2))]
    return int(rows[rng.integers(len(rows))])


class _Sensors:
    """A scikit-learn model on some of the sensors."""

    def __init__(self, model: Any, sensors: list[int]) -> None:
        self._model = model
        self._sensors = sensors

    def predict(self, features: NDArray[np.float64]) -> Sequence[int]:
        classes: list[int] = self._model.predict(features[:, self._sensors]).astype(int).tolist()
        return classes


class _Online:
    """A river model, which learns and predicts one reading at a time."""

    def __init__(self, model: Any, sensors: list[int]) -> None:
        self._model = model
        self._sensors = sensors

    def _one(self, row: NDArray[np.float64]) -> dict[int, float]:
        return {sensor: float(row[sensor]) for sensor in self._sensors}

    def learn(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        for row, label in zip(features, labels, strict=True):
            self._model.learn_one(self._one(row), int(label))

    def predict(self, features: NDArray[np.float64]) -> Sequence[int]:
        return [int(self._model.predict_one(self._one(row)) or 0) for row in features]


def train(data: Data, seed: int) -> dict[str, Model]:
    """Train the three model versions."""
    from river import naive_bayes
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    features, labels = data.features[data.training], data.labels[data.training]
    logistic = LogisticRegression(max_iter=500, class_weight="balanced")
    logistic.fit(features[:, _FEW_SENSORS], labels)
    gaussian: Any = naive_bayes.GaussianNB
    bayes = _Online(gaussian(), _FEW_SENSORS)
    bayes.learn(features[:4000], labels[:4000])
    forest = RandomForestClassifier(20, random_state=seed, n_jobs=1)
    forest.fit(features, labels)
    return {
        CHAMPION: _Sensors(logistic, _FEW_SENSORS),
        BYSTANDER: bayes,
        CHALLENGER: _Sensors(forest, list(range(features.shape[1]))),
    }


def corrupt(features: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    """Break the input as a wrong feature order after a deployment does: columns some places off."""
    return np.roll(features, places, axis=1)
