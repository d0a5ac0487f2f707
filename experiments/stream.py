"""What every data set becomes: rows in their order, with a label each and, if known, a drift."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Ints", "Stream", "encode_columns"]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A labelled stream for a chunked simulation.

    Attributes
    ----------
    name : str
        Of the data set.
    features : NDArray[np.float64]
        Shape (n, p); categories as whole numbers from 0.
    categorical : NDArray[np.bool_]
        Shape (p,): which columns are categories.
    labels : NDArray[np.int64]
        Shape (n,): 0 or 1.
    drift_row : int or None
        First row after a change that is known beforehand; None where none is known.
    """

    name: str
    features: Floats
    categorical: Bools
    labels: Ints
    drift_row: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows, n."""
        return len(self.labels)

    def thinned(self, rows: int) -> "Stream":
        """Return the stream thinned evenly to about ``rows`` rows, order kept."""
        if rows >= self.rows:
            return self
        kept = np.linspace(0, self.rows - 1, rows).astype(np.int64)
        drift = None if self.drift_row is None else int(np.searchsorted(kept, self.drift_row))
        return Stream(
            name=self.name,
            features=self.features[kept],
            categorical=self.categorical,
            labels=self.labels[kept],
            drift_row=drift,
        )


def encode_columns(rows: list[list[str]], numeric: set[int]) -> tuple[Floats, Bools]:
    """Turn text cells into numbers; a category becomes its place among the sorted values.

    Shape (n, p) float64, and which of the p columns are categories.

    Examples
    --------
    >>> encode_columns([["7", "red"], ["9", "blue"]], {0})
    (array([[7., 1.],
           [9., 0.]]), array([False,  True]))
    """
    columns = list(zip(*rows, strict=True))
    features = np.empty((len(rows), len(columns)))
    for place, column in enumerate(columns):
        if place in numeric:
            features[:, place] = np.array(column, dtype=np.float64)
        else:
            features[:, place] = np.unique(np.array(column), return_inverse=True)[1]
    return features, np.array([place not in numeric for place in range(len(columns))])
