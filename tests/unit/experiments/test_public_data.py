"""Elec2 by name: what OpenML gives becomes our rows, what cannot be had is explained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from river import datasets as river_datasets
from sklearn.utils import Bunch

from leverframe.experiments import public_data
from leverframe.experiments.datasets import load
from leverframe.experiments.public_data import (
    ELEC2_FEATURES,
    DataSetError,
    elec2_of_bunch,
    fetch_elec2,
)


def bunch(**changes: Any) -> Any:
    """Three rows as ``fetch_openml`` gives them as arrays: ``day`` is nominal, hence a code."""
    names = ["date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"]
    rows = [
        [0.0, 1, 0.0, 0.056, 0.439, 0.003, 0.422, 0.414],
        [0.0, 1, 0.021, 0.051, 0.415, 0.003, 0.422, 0.414],
        [0.9, 6, 1.0, 0.06, 0.3, 0.004, 0.4, 0.5],
    ]
    fields: dict[str, Any] = {
        "data": np.array(rows),
        "target": np.array(["UP", "UP", "DOWN"], dtype=object),
        "feature_names": names,
        "categories": {"day": [str(day) for day in range(1, 8)]},
        "frame": None,
    }
    return Bunch(**(fields | changes))


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError("name or service not known")


def test_bunch_becomes_our_rows() -> None:
    """Columns in our order without the date, days as numbers 1 to 7, UP as 1."""
    features, labels = elec2_of_bunch(bunch())
    assert features.tolist() == [
        [2.0, 0.0, 0.056, 0.439, 0.003, 0.422, 0.414],
        [2.0, 0.021, 0.051, 0.415, 0.003, 0.422, 0.414],
        [7.0, 1.0, 0.06, 0.3, 0.004, 0.4, 0.5],
    ]
    assert features.dtype == np.float64
    assert labels.tolist() == [1, 1, 0]
    assert labels.dtype == np.int64
    numeric = elec2_of_bunch(bunch(categories=None))[0]
    assert numeric[:, 0].tolist() == [1.0, 1.0, 6.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feature_names": list("abcdefgh")}, "lacks day, period"),
        ({"target": np.array(["UP", "MAYBE", "DOWN"])}, "has the label 'MAYBE'"),
    ],
)
def test_another_data_set_is_refused(changes: dict[str, Any], words: str) -> None:
    """Columns or labels that are not Elec2's are named, with the cure."""
    with pytest.raises(DataSetError, match=rf"151 {words}.*cure: put elec2\.csv\.gz"):
        elec2_of_bunch(bunch(**changes))


def test_openml_is_asked_when_the_folder_has_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An empty folder: ``load`` takes OpenML's data set 151, as arrays, without pandas."""
    asked: list[dict[str, Any]] = []

    def fetch(**arguments: Any) -> Any:
        asked.append(arguments)
        return bunch()

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    stream = load("elec2", 0, tmp_path)
    assert (stream.name, stream.rows, stream.features.shape[1]) == ("elec2", 3, 7)
    assert not stream.categorical.any()
    (arguments,) = asked
    assert arguments["data_id"] == 151
    assert (arguments["as_frame"], arguments["parser"]) == (False, "liac-arff")


def test_river_is_asked_when_openml_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second loader gives the same columns."""
    row = dict(zip(ELEC2_FEATURES, range(7), strict=True)) | {"date": 0.5}
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    monkeypatch.setattr(river_datasets, "Elec2", lambda: [(row, True), (row, False)])
    features, labels = fetch_elec2()
    assert features.tolist() == [list(range(7))] * 2
    assert labels.tolist() == [1, 0]


def test_error_says_what_is_wrong_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without network: both loaders are named with their reasons, and a way out."""
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse)
    monkeypatch.setattr(public_data, "_elec2_of_river", refuse)
    with pytest.raises(DataSetError) as told:
        fetch_elec2()
    for words in (
        "no elec2.csv.gz",
        "OpenML data set 151 (name or service not known)",
        "river.datasets.Elec2",
        "LEVERFRAME_DATA",
        "--data census,claims,synthetic",
    ):
        assert words in str(told.value)
