"""Fixtures of the failure drills."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Deployment


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
