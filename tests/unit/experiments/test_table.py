"""Data sets and models: what is trained on what, and what is known when."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leverframe.experiments.datasets import DATASETS, DataSetError, default_folder, load
from leverframe.experiments.models import predict_online
from leverframe.experiments.stream import Stream
from leverframe.experiments.synthetic import SyntheticOptions, make_synthetic
from leverframe.experiments.table import BLOCK, DELAY, ONLINE, build_table

OPTIONS = SyntheticOptions(rows=3000, features=3)


def test_synthetic_has_the_drift_and_imbalance_that_were_asked() -> None:
    """The share of label 1 is as set in each part; the rule of x0 gives way to x1 and returns."""
    stream = make_synthetic(SyntheticOptions(rows=40_000, positive_ratio=0.1), 1)
    assert stream.drift_row == 20_000
    for part, column in (
        (slice(0, 20_000), 0),
        (slice(20_000, 30_000), 1),
        (slice(30_000, None), 0),
    ):
        labels, features = stream.labels[part], stream.features[part]
        assert abs(labels.mean() - 0.1) < 0.01
        strength = np.abs(features[labels == 1].mean(axis=0) - features[labels == 0].mean(axis=0))
        assert strength.argmax() == column


def test_table_is_the_same_for_a_seed() -> None:
    """The same stream and seed give the same predictions; another seed gives others."""
    stream = make_synthetic(OPTIONS, 1)
    first, again, other = (build_table(stream, chunks=5, seed=seed) for seed in (1, 1, 2))
    assert (first.predictions == again.predictions).all()
    assert (first.predictions != other.predictions).any()
    assert first.arms == ("logistic-0", "boosting-1", "online-2", "boosting-3")


def test_table_deploys_an_arm_once_its_chunk_is_labelled() -> None:
    """The first serves after its chunk, later ones after theirs and the delay, at a decision."""
    table = build_table(make_synthetic(OPTIONS, 1), chunks=5, seed=1)
    assert table.since.tolist() == [600, 1400, 2000, 2600]
    assert all((since - table.first) % BLOCK == 0 for since in table.since.tolist())
    assert all(table.since[arm] >= (arm + 1) * 600 + DELAY for arm in (1, 2, 3))


def test_table_never_shows_a_model_the_future() -> None:
    """Labels changed after an arm's chunk change none of its answers."""
    stream = make_synthetic(OPTIONS, 1)
    labels = stream.labels.copy()
    labels[1200:] = 1 - labels[1200:]
    first = build_table(stream, chunks=5, seed=1)
    other = build_table(replace(stream, labels=labels), chunks=5, seed=1)
    assert (first.predictions[:2] == other.predictions[:2]).all()
    assert (first.predictions[3] != other.predictions[3]).any()


def test_online_model_learns_a_label_only_when_it_is_due() -> None:
    """Labels changed from a row on change no answer before that row's label arrives."""
    stream = make_synthetic(OPTIONS, 1)
    labels = stream.labels.copy()
    labels[2000:] = 1 - labels[2000:]
    first, other = (
        predict_online(replace(stream, labels=known), 600, DELAY)
        for known in (stream.labels, labels)
    )
    assert (first[: 2000 + DELAY] == other[: 2000 + DELAY]).all()
    assert (first[2000 + DELAY :] != other[2000 + DELAY :]).any()
    assert ONLINE == 2


def test_a_chunk_of_one_class_still_gives_a_model() -> None:
    """Where nothing positive was seen the model answers 0."""
    stream = make_synthetic(OPTIONS, 1)
    quiet = replace(stream, labels=np.where(np.arange(3000) < 600, 0, stream.labels))
    assert not build_table(quiet, chunks=5, seed=1).predictions[0].any()


@pytest.mark.parametrize("name", ["census", "claims"])
def test_missing_data_names_the_cure(name: str, tmp_path: Path) -> None:
    """Without file and public package the error says what to do."""
    with pytest.raises(DataSetError, match="cure"):
        load(name, 0, tmp_path)


def test_unknown_data_set_lists_the_known() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(DataSetError, match="census, claims, elec2, synthetic"):
        load("wages", 0, None)


def test_census_reads_both_spellings_and_orders_by_year(tmp_path: Path) -> None:
    """94 comes before 95, the label and the year are no features."""
    cells = [str(at % 3) for at in range(40)]
    lines = [
        ",".join([*cells, "95", "50000+.", "train"]),
        ",".join([*cells, "94", "- 50000.", "test"]),
    ]
    path = tmp_path / "census_income_kdd.csv.gz"
    path.write_bytes(gzip.compress(("header\n" + "\n".join(lines) + "\n").encode()))
    stream = load("census", 0, tmp_path)
    assert stream.labels.tolist() == [0, 1]
    assert (stream.drift_row, stream.features.shape[1]) == (1, 39)


@pytest.mark.skipif(default_folder() is None, reason="the shared data folder is not there")
@pytest.mark.parametrize(
    ("name", "rows", "share"),
    [("census", 40_000, 0.062), ("claims", 15_420, 0.0599), ("elec2", 45_312, 0.4245)],
)
def test_real_data_has_its_stated_size(name: str, rows: int, share: float) -> None:
    """Rows and share of label 1 are those of the data sets' description."""
    stream = load(name, 0, default_folder())
    assert stream.rows == rows
    assert abs(stream.labels.mean() - share) < 0.004
    assert not np.isnan(stream.features).any()


def test_thinning_keeps_order_and_drift() -> None:
    """A thinned stream has the wanted length, and its drift where it was."""
    stream = Stream(
        name="s",
        features=np.arange(100.0)[:, None],
        categorical=np.zeros(1, dtype=bool),
        labels=np.zeros(100, dtype=np.int64),
        drift_row=50,
    )
    thin = stream.thinned(10)
    assert (np.diff(thin.features[:, 0]) > 0).all()
    assert (thin.rows, thin.drift_row) == (10, 5)
    assert set(DATASETS) == {"census", "claims", "elec2", "synthetic"}
