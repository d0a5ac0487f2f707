"""Elec2 by name from public loaders, for those who have no file of it."""

import warnings
from typing import Any, Final

import numpy as np

from leverframe.experiments.stream import Floats, Ints
from leverframe.schemas.errors import LeverframeError

__all__ = ["ELEC2_FEATURES", "DataSetError", "elec2_of_bunch", "fetch_elec2"]

ELEC2_FEATURES: Final = (
    "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer",
)  # fmt: skip
"""Columns used; the date is not among them, since it would tell the models where they are."""
_OPENML_ID: Final = 151
_LABELS: Final = ("DOWN", "UP")


class DataSetError(LeverframeError):
    """A data set could not be had.

    What happened: neither the folder nor a public loader has it. The job does nothing, this is an
    experiment. The operator does what the message says.
    """


def elec2_of_bunch(bunch: Any) -> tuple[Floats, Ints]:
    """Turn what OpenML gives into our columns.

    Shape (n, 7) float64 as in ``ELEC2_FEATURES``, and shape (n,) int64, 1 for a price going up.
    Raises ``DataSetError`` if it is another data set than the one we know.
    """
    names, categories = list(bunch.feature_names), bunch.categories or {}
    missing = [name for name in ELEC2_FEATURES if name not in names]
    odd = sorted({str(label) for label in bunch.target} - set(_LABELS))
    if missing or odd:
        found = f"lacks {', '.join(missing)}" if missing else f"has the label {odd[0]!r}"
        raise DataSetError(
            f"elec2: OpenML data set {_OPENML_ID} {found}, so it is not the one that this code "
            "knows; cure: put elec2.csv.gz into the folder LEVERFRAME_DATA"
        )
    columns = []
    for name in ELEC2_FEATURES:
        column = np.asarray(bunch.data[:, names.index(name)], dtype=np.float64)
        if name in categories:  # a code is the place of the value, which is a number here
            values = np.array([float(value) for value in categories[name]])
            column = values[column.astype(np.int64)]
        columns.append(column)
    labels = np.array([_LABELS.index(str(label)) for label in bunch.target], dtype=np.int64)
    return np.column_stack(columns), labels


def fetch_elec2() -> tuple[Floats, Ints]:
    """Download Elec2 from OpenML, else by river; both keep a copy for the next time.

    As of ``elec2_of_bunch``, in the order of time. Raises ``DataSetError`` if neither can be
    reached.
    """
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings(action="ignore"):  # of the failure that is told below
            bunch = fetch_openml(
                data_id=_OPENML_ID, as_frame=False, parser="liac-arff", n_retries=1
            )
    except (OSError, ValueError) as openml:
        try:
            return _elec2_of_river()
        except OSError as river:
            raise DataSetError(
                "elec2: no elec2.csv.gz in the folder LEVERFRAME_DATA, and neither OpenML data set "
                f"{_OPENML_ID} ({openml}) nor river.datasets.Elec2 ({river}) could be downloaded; "
                "cure: try again with internet access, or export either once as elec2.csv.gz "
                f"(columns {', '.join(ELEC2_FEATURES)}, class last) and name its folder by "
                "LEVERFRAME_DATA; the other data sets run without: --data census,claims,synthetic"
            ) from openml
    return elec2_of_bunch(bunch)


def _elec2_of_river() -> tuple[Floats, Ints]:
    from river import datasets

    pairs = list(datasets.Elec2())  # type: ignore[no-untyped-call] # river has no types
    features = np.array([[float(x[name]) for name in ELEC2_FEATURES] for x, _ in pairs])
    return features, np.array([int(y) for _, y in pairs], dtype=np.int64)
