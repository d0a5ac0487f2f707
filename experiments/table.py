"""All predictions of all models, made once: the models do not depend on the strategy."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from leverframe.experiments.models import KINDS, fit_batch, predict_online
from leverframe.experiments.stream import Floats, Ints, Stream

__all__ = ["BLOCK", "DELAY", "ONLINE", "Table", "build_table"]

BLOCK: Final = 100
"""Rows between two decisions."""
DELAY: Final = 200
"""Rows between a prediction and its label."""
ONLINE: Final = 2
"""Place of the online model among the arms."""
_HELD_OUT: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What every arm would have answered to every row.

    Attributes
    ----------
    data : str
        Name of the data set.
    arms : tuple of str
        K names, in the order of deployment.
    predictions : NDArray[np.int64]
        Shape (K, n): 0 or 1; meaningless before ``since``.
    labels : NDArray[np.int64]
        Shape (n,).
    since : NDArray[np.int64]
        Shape (K,): row from which an arm can answer; the first one starts the serving.
    held_out : tuple of NDArray[np.int64]
        For each arm the rows of its chunk that it was not trained on.
    held_out_predictions : tuple of NDArray[np.int64]
        What it says to them.
    drift_row : int or None
        As in the stream.
    """

    data: str
    arms: tuple[str, ...]
    predictions: Ints
    labels: Ints
    since: Ints
    held_out: tuple[Ints, ...]
    held_out_predictions: tuple[Ints, ...]
    drift_row: int | None

    @property
    def first(self) -> int:
        """First row that is served."""
        return int(self.since[0])

    @property
    def served(self) -> int:
        """Rows served."""
        return len(self.labels) - self.first

    def rewards(self, matrix: Floats) -> Floats:
        """Return the reward of every arm for every row served."""
        result: Floats = matrix[self.predictions[:, self.first :], self.labels[self.first :]]
        return result

    def beforehand(self, matrix: Floats, *, is_warm: bool) -> list[dict[str, Any]]:
        """Return what is said of each arm when it is registered, for rewards in [0, 1].

        Its score and, where the arms begin warm, that score on its held-out rows as a prior.
        """
        known: list[dict[str, Any]] = []
        for score, rows in zip(self.validation_scores(matrix), self.held_out, strict=True):
            said: dict[str, Any] = {"validation_score": score}
            if is_warm:
                successes = min(1.0, max(0.0, score)) * len(rows)
                said["prior"] = [successes, len(rows) - successes]
            known.append(said)
        return known

    def validation_scores(self, matrix: Floats) -> list[float]:
        """Return a score per arm, each compared on its own slice with the best before it.

        Scores of different slices cannot be compared, the world has moved; so an arm's score is
        the incumbent's score plus the difference of both on the new arm's held-out rows.
        """
        incumbent, scores = 0, list[float]()
        for arm, (rows, predicted) in enumerate(
            zip(self.held_out, self.held_out_predictions, strict=True)
        ):
            labels = self.labels[rows]
            own = float(matrix[predicted, labels].mean())
            if arm == 0:
                scores.append(own)
                continue
            rival = float(matrix[self.predictions[incumbent, rows], labels].mean())
            scores.append(scores[incumbent] + own - rival)
            if own > rival:
                incumbent = arm
        return scores


def build_table(stream: Stream, *, chunks: int, seed: int) -> Table:
    """Train one model per chunk and let each answer all rows after it."""
    size = stream.rows // chunks
    rng = np.random.default_rng([seed, 41])
    kinds = [KINDS[arm % len(KINDS)] for arm in range(chunks - 1)]
    predictions = np.zeros((len(kinds), stream.rows), dtype=np.int64)
    held_out, said = [], []
    for arm, kind in enumerate(kinds):
        order = np.arange(arm * size, (arm + 1) * size)[rng.permutation(size)]
        kept, rows = np.sort(order[round(size * _HELD_OUT) :]), order[: round(size * _HELD_OUT)]
        if arm == ONLINE:
            predictions[arm] = predict_online(stream, size, DELAY)
            held_out_prediction = predictions[arm, rows]
        else:
            model = fit_batch(
                kind, stream.features[kept], stream.labels[kept], stream.categorical, seed
            )
            later = (arm + 1) * size
            predictions[arm, later:] = model.predict(stream.features[later:])
            held_out_prediction = model.predict(stream.features[rows])
        held_out.append(rows)
        said.append(np.asarray(held_out_prediction, dtype=np.int64))
    names = ["online" if arm == ONLINE else kind for arm, kind in enumerate(kinds)]
    return Table(
        data=stream.name,
        arms=tuple(f"{name}-{arm}" for arm, name in enumerate(names)),
        predictions=predictions,
        labels=stream.labels,
        since=_since(size, len(kinds)),
        held_out=tuple(held_out),
        held_out_predictions=tuple(said),
        drift_row=stream.drift_row,
    )


def _since(size: int, arms: int) -> Ints:
    """The first arm serves after its chunk; a later one once its last label came, at a decision."""
    waits = [0] + [
        math.ceil(((arm + 1) * size - size + DELAY) / BLOCK) * BLOCK for arm in range(1, arms)
    ]
    return np.array([size + wait for wait in waits])
