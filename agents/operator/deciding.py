"""What decided on a change: rewards have a place of their own, commands and traffic a time."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["is_by_reward"]

_BY_REWARD: Final = frozenset(
    {"policy", "guard", "better", "drift", "probation", "ramp", "proposal", "metric", "budget"}
)


def is_by_reward(cause: Mapping[str, Any]) -> bool:
    """Whether the record that a cause names is one of ``rewards``."""
    return cause.get("why") in _BY_REWARD or cause.get("how") == "first_reward"
