"""Fixtures that all tests share."""

import gc
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from harness import Deployment

# A slow machine is no fault, and the same examples each time are no flake.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")


@dataclass(frozen=True)
class BrokerAddress:
    """Where the tests' broker is."""

    bootstrap: str


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


TESTS = Path(__file__).parent
LONGEST_FIRST = ("failure", "broker", "browser", "packaging")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that wait for processes: a long file at the end runs alone."""

    def rank(item: pytest.Item) -> int:
        folders = (at for at, name in enumerate(LONGEST_FIRST) if TESTS / name in item.path.parents)
        return next(folders, len(LONGEST_FIRST))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    """Give a real Kafka broker: the one in LEVERFRAME_BROKER, else one that ends with the tests."""
    if given := os.environ.get("LEVERFRAME_BROKER"):
        yield BrokerAddress(given)
        return
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import start_broker

    running = start_broker(
        data_dir=tmp_path_factory.mktemp("broker"),
        port=None,
        cache=cache_root(),
        report=_report,
        detached=False,
        extra_properties={"group.min.session.timeout.ms": "1000"},
    )
    try:
        yield BrokerAddress(running.bootstrap)
    finally:
        running.stop()


@pytest.fixture
def unique_prefix() -> str:
    """Give a prefix for topic names that no other test has, such as ``t1a2b3c-``."""
    return f"t{uuid.uuid4().hex[:6]}-"


@pytest.fixture
def deploy(broker: Any, unique_prefix: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Give a function that makes a deployment; its workers end with the test."""
    made = []

    async def make(**more: str) -> Deployment:
        deployment = await Deployment.create(broker.bootstrap, unique_prefix, tmp_path, **more)
        made.append(deployment)
        return deployment

    yield make
    for deployment in made:
        deployment.stop_all()
    # What a test left open is told here, not in whichever test runs when it is collected.
    gc.collect()
