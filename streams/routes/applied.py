"""Settings of a route that were applied while the job runs: their stored form, compiled.

They hold in place of the settings file's. Learning keeps them in the route's state, so that every
record is counted under the settings that held when it was; the join follows the topic.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from leverframe.schemas.errors import LeverframeError, RecordError
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.routes.faults import route_faults
from leverframe.streams.routes.route import Route, Routes, compile_route
from leverframe.streams.routes.settings import RouteSettings

__all__ = [
    "RoutesInForce",
    "compile_applied",
    "decode_applied",
    "encode_applied",
    "require_route",
    "route_in_force",
    "settings_faults",
    "stored_form",
    "written_out",
]

_COMPILED_ROUTES: Final = 16_384
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def written_out(settings: RouteSettings) -> dict[str, Any]:
    """Return all that holds for a route, defaults too, as plain values."""
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built


def encode_applied(settings: RouteSettings) -> bytes:
    """Return the stored form: equal bytes for equal settings.

    >>> encode_applied(RouteSettings()) == encode_applied(RouteSettings(window_s=3600.0))
    True
    """
    return _encode(settings)


def decode_applied(raw: bytes) -> RouteSettings:
    """Return what was stored.

    Raises ``LeverframeError`` where another version stored what this one does not know.
    """
    try:
        return msgspec.json.decode(raw, type=RouteSettings)
    except msgspec.MsgspecError as error:
        raise LeverframeError(
            f"settings of a route that were applied cannot be read by this version: {error}. Start "
            "the version that applied them, and apply others or go back to the settings file there"
        ) from error


@lru_cache(maxsize=_COMPILED_ROUTES)
def compile_applied(raw: bytes) -> Route:
    """Build the functions of a route from the stored form."""
    return compile_route(decode_applied(raw))


def stored_form(told: AppliedSettings) -> bytes:
    """Return the stored form of settings as they travel; empty where they were taken back.

    Raises ``LeverframeError`` where this version cannot use them.
    """
    if told.settings is None:
        return b""
    settings, faults = settings_faults(told.settings)
    if settings is None:
        raise LeverframeError(
            f"the settings applied to route {told.route!r} cannot be used by this version: "
            f"{'; '.join(faults)}. Start the version that applied them, and apply others there"
        )
    return encode_applied(settings)


def route_in_force(written: Routes, name: str, applied: bytes) -> Route | None:
    """Return what holds for a route: what was applied to it, else what the settings file says."""
    return compile_applied(applied) if applied else written.get(name)


def require_route(written: Routes, name: str, applied: bytes) -> Route:
    """Return what holds for a route; ``RecordError`` (``unknown_route``) where nothing does."""
    route = route_in_force(written, name, applied)
    if route is None:
        raise RecordError(
            "unknown_route",
            f"route {name!r} has no section in the settings of the running worker: leverframe "
            "apply FILE gives it one, or a restart of the worker with a file that has it",
        )
    return route


def settings_faults(told: object) -> tuple[RouteSettings | None, list[str]]:
    """Read settings as a command brings them; return them, or None and what is wrong."""
    try:
        settings = msgspec.convert(told, RouteSettings)
    except msgspec.ValidationError as error:
        return None, [str(error)]
    faults = [f"{keys[0]}: {text}" for keys, text in route_faults(settings)]
    return (None if faults else settings), faults


class RoutesInForce:
    """Routes for the join: those of the settings file, and above them what was applied.

    ``follow`` is called with what the topic says; everything else only looks.
    """

    def __init__(self, written: Routes) -> None:
        self.written = written
        self._applied: dict[str, Route] = {}
        self._raw: dict[str, bytes] = {}
        self.longest_window_ms = written.longest_window_ms
        self.get: Callable[[str], Route | None] = written.get

    def follow(self, route: str, raw: bytes) -> None:
        """Put settings above the file's, or take them away (empty)."""
        if not raw:
            self._applied.pop(route, None)
            self._raw.pop(route, None)
        else:
            self._applied[route] = compile_applied(raw)
            self._raw[route] = raw
        windows = (one.window_ms for one in self._applied.values())
        self.longest_window_ms = max(self.written.longest_window_ms, *windows, 0)
        # Nothing is looked up twice where nothing was applied.
        self.get = self._get if self._applied else self.written.get

    def raw(self, route: str) -> bytes:
        """Return the stored form of what was applied to a route; empty where nothing was."""
        return self._raw.get(route, b"")

    def _get(self, name: str) -> Route | None:
        found = self._applied.get(name)
        return self.written.get(name) if found is None else found
