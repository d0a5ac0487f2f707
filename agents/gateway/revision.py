"""What all routes have in force, as one short text that is the same on every replica; pure."""

import hashlib
from typing import Final

import orjson

from leverframe.serving.routing import InForce

__all__ = ["Revision"]

_BITS: Final = 128
_MASK: Final = (1 << _BITS) - 1


class Revision:
    """The sum of one digest for each route: a change costs the same with ten thousand of them.

    A heartbeat changes nothing of it: what is assigned stays the same.

    Examples
    --------
    >>> Revision().text
    '00000000000000000000000000000000'
    """

    def __init__(self) -> None:
        self._digests: dict[str, int] = {}
        self._sum = 0

    @property
    def text(self) -> str:
        """32 hex digits."""
        return f"{self._sum:032x}"

    def note(self, state: InForce) -> bool:
        """Take what holds for a route; return whether anything is assigned otherwise now."""
        digest = _digest(state)
        before = self._digests.get(state.message.route, 0)
        self._digests[state.message.route] = digest
        self._sum = (self._sum + digest - before) & _MASK
        return digest != before


def _digest(state: InForce) -> int:
    message = state.message
    told = [
        *(message.route, message.epoch, message.champion, state.is_fallback, state.weights),
        *(message.salt, message.shadow_share, message.shadow_arms),
    ]
    sha = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
    return int.from_bytes(sha.digest()[: _BITS // 8], "big")
