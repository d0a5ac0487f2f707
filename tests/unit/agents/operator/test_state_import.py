"""What an import refuses before it asks a broker."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

import leverframe
from leverframe.agents.operator.state_file import (
    FORM,
    Entry,
    Header,
    Kept,
    SourceRead,
    Unread,
    write_state,
)
from leverframe.agents.operator.state_import import import_state, look_at_state, start_times_ms
from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.state import encode_route, new_route
from leverframe.streams.runtime.ledger import LAYOUT

SETTINGS = load_settings(None, {})
HEADER = Header(
    form=FORM,
    layout=LAYOUT,
    written_by="0.1.0",
    application="leverframe",
    exported_at_ms=1_700_000_000_000,
    partitions={
        "attribution": SETTINGS.topics.partitions,
        "learning": SETTINGS.topics.route_partitions,
    },
)


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    """Routes with their labels, requests, and what is yet to be counted."""
    path = tmp_path / "x.state"
    frames = [
        Kept("learning", 0, {}, {}),
        Entry("learning", 0, b"checkout", encode_route(new_route("checkout"))),
        Entry("attribution", 3, b"q1", b""),
        Unread("rewards", 0, b"checkout", b"{}", [], 1),
    ]
    write_state(path, HEADER, frames)
    found = look_at_state(SETTINGS, path)
    assert (found.routes, found.requests, found.unread) == ({"checkout": 0}, 1, 1)


def test_other_partitions_are_refused(tmp_path: Path) -> None:
    """With both numbers, and the settings to change."""
    path = tmp_path / "x.state"
    write_state(path, structs.replace(HEADER, partitions={"attribution": 64, "learning": 2}), [])
    with pytest.raises(LeverframeError, match=r"'attribution': 64.*set \[topics\] partitions"):
        look_at_state(SETTINGS, path)


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    """With the version that can read it."""
    path = tmp_path / "x.state"
    write_state(path, structs.replace(HEADER, layout=LAYOUT + 1, written_by="9.8.7"), [])
    with pytest.raises(LeverframeError, match=rf"9\.8\.7.*{leverframe.__version__}"):
        look_at_state(SETTINGS, path)


def test_topics_of_others_that_the_file_does_not_know_are_refused(tmp_path: Path) -> None:
    """Requests whose window is over would count again; one of them is known."""
    config = tmp_path / "leverframe.toml"
    config.write_text(
        '[routes.checkout]\nreward = "accuracy"\n'
        '[sources.clicks]\ntopic = "clicks"\nkind = "ground-truth"\nrequest_id = "id"\n'
        'label = "clicked"\n'
        '[sources.known]\ntopic = "known"\nkind = "ground-truth"\nrequest_id = "id"\n'
        'label = "clicked"\n',
        encoding="utf-8",
    )
    settings = load_settings(config, {})
    path = tmp_path / "x.state"
    write_state(path, HEADER, [SourceRead("known", 0, 1), Kept("learning", 0, {}, {})])
    with pytest.raises(LeverframeError, match=r"\[sources\] clicks: .*begin = \"latest\""):
        asyncio.run(import_state(settings, path, None, "ada", print))


@pytest.mark.parametrize(
    ("predictions", "labels", "starts"),
    [
        (100_000, 100_500, {"predictions": 99_500, "ground-truth": 99_500}),
        # Labels stand still: predictions since then were counted, and may be forgotten.
        (900_000, 100_000, {"predictions": 899_000, "ground-truth": 99_000}),
        # Predictions stand still: none after them was counted.
        (100_000, 900_000, {"predictions": 100_000, "ground-truth": 899_000}),
        (300, 200, {"predictions": 0, "ground-truth": 0}),
    ],
    ids=["both flow", "labels are late", "predictions are late", "at the epoch"],
)
def test_inputs_are_read_again_where_entries_surely_live(
    predictions: int, labels: int, starts: dict[str, int]
) -> None:
    """By the shortest window of a route: a longer one would count forgotten requests again."""
    found = start_times_ms({"predictions": predictions, "ground-truth": labels}, 1000)
    assert found == starts
