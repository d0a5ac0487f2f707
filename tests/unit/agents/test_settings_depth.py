"""A value nested beyond measure is a fault of the settings, not of the parser."""

import pytest

from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import SettingsError


def test_deeply_nested_value_is_an_ordinary_fault() -> None:
    """The environment's value is then the text that it is."""
    with pytest.raises(SettingsError, match=r"topics\.partitions"):
        load_settings(None, {"LEVERFRAME_TOPICS__PARTITIONS": "[" * 10_000})
