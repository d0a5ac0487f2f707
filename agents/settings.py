"""Settings: one TOML file, every key also in the environment, all faults reported at once."""

import difflib
import os
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from schemas.errors import SettingsError
from streams.route_settings import RouteSettings
from streams.runtime.kafka import BrokerSettings
from streams.topology import Topics

__all__ = ["AppSettings", "Settings", "TopicSettings", "load_settings"]

ENVIRONMENT_PREFIX = "LEVERFRAME_"
OTHER_ROUTES = "*"
# Read elsewhere, or shorthand; not SECTION__KEY.
_SHORTHANDS = {"LEVERFRAME_BROKER": ("broker", "servers")}


class AppSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The worker itself.

    Attributes
    ----------
    id : str
        Names the consumer group, the transactional ids and the changelogs.
    datadir : str
        Folder of the local caches; each worker of a machine needs its own.
    processes : int
        Of one worker, which share its partitions; as many as there are cores for it.
    web_bind, web_port
        Where Faust's web server listens; port 0 switches it off. With several processes the first
        has this port, the second the next, and so on.
    web_hosts : list of str
        Names under which browsers may ask for the pages, beside loopback's own; any when empty and
        not on loopback.
    web_token : str
        Lets the dashboard send commands; it cannot when empty. Give it by the environment.
    dashboard : bool
        Whether the web server has the dashboard, which follows the control topic.
    max_value_bytes : int
        Largest record accepted; larger ones are dead letters.
    max_routes : int
        Routes that the settings do not name, on each partition; more are dead letters ``limit``.
    session_timeout_s : float
        After this much silence the group takes the worker's partitions away.
    poll_interval_s : float
        A worker that does nothing at all for this long leaves the group.
    tick_s : float
        How often time-driven work is looked at: expiry, heartbeats.
    log_level : str
        Of the log.
    control_key : str
        Signs control messages (HMAC-SHA256); unsigned when empty. Give it by the environment.
    """

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = "leverframe"
    datadir: str = "leverframe-data"
    processes: Annotated[int, Meta(ge=1, le=256)] = 1
    web_bind: str = "127.0.0.1"
    web_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    web_hosts: list[str] = field(default_factory=list)
    web_token: Annotated[str, Meta(pattern=r"^(|[!-~]{16,})$")] = ""
    dashboard: bool = True
    max_value_bytes: Annotated[int, Meta(ge=1024, le=300_000)] = 256 << 10
    max_routes: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    session_timeout_s: Annotated[float, Meta(ge=1, le=300)] = 15.0
    poll_interval_s: Annotated[float, Meta(ge=5, le=3600)] = 300.0
    tick_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    control_key: str = ""

    def __repr__(self) -> str:
        """Leave the key and the token out."""
        return f"AppSettings(id={self.id!r}, datadir={self.datadir!r})"


class TopicSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The topics.

    Attributes
    ----------
    prefix : str
        Put before every topic's name.
    partitions : int
        Of topics keyed by request_id.
    route_partitions : int
        Of topics keyed by route.
    replication : int
        Replication factor of topics that ``leverframe topics create`` makes.
    """

    prefix: str = ""
    partitions: Annotated[int, Meta(ge=1, le=4096)] = 4
    route_partitions: Annotated[int, Meta(ge=1, le=4096)] = 2
    replication: Annotated[int, Meta(ge=1, le=9)] = 1


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set.

    Attributes
    ----------
    app : AppSettings
        The worker.
    broker : BrokerSettings
        How to reach Kafka.
    topics : TopicSettings
        The topics.
    routes : dict of str to RouteSettings
        Routes by name; ``"*"`` stands for every other route. Without any, all routes are accepted
        with the defaults.
    """

    app: AppSettings = AppSettings()
    broker: BrokerSettings = BrokerSettings()
    topics: TopicSettings = TopicSettings()
    routes: dict[str, RouteSettings] = field(
        default_factory=lambda: {OTHER_ROUTES: RouteSettings()}
    )

    @property
    def control_key(self) -> bytes | None:
        """Key that signs control messages; None when the setting is empty."""
        return self.app.control_key.encode() or None

    @property
    def topic_names(self) -> Topics:
        """Full names of all topics."""
        return Topics(self.app.id, self.topics.prefix)

    def declared_topics(self) -> list[tuple[str, int, dict[str, str]]]:
        """Return name, partitions and Kafka settings of every topic, as they must exist."""
        longest = max((route.window_s for route in self.routes.values()), default=0.0)
        return list(
            self.topic_names.declared(
                partitions=self.topics.partitions,
                route_partitions=self.topics.route_partitions,
                longest_window_ms=round(longest * 1000),
            )
        )


def load_settings(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    path : Path, optional
        A TOML file; only defaults and the environment when left out.
    environment : mapping, optional
        ``LEVERFRAME_<SECTION>__<KEY>`` beats the file; the process's own when left out.

    Returns
    -------
    Settings
        Checked.

    Raises
    ------
    SettingsError
        With every fault and its path.

    Examples
    --------
    >>> load_settings(None, {"LEVERFRAME_BROKER": "kafka:9092"}).broker.servers
    'kafka:9092'
    >>> load_settings(  # doctest: +ELLIPSIS
    ...     None,
    ...     {"LEVERFRAME_TOPICS__PARTITIONS": "0", "LEVERFRAME_APP__NAME": "x"},
    ... )
    Traceback (most recent call last):
        ...
    schemas.errors.SettingsError: the settings have 2 faults:
      app.name: unknown key; known: ...
      topics.partitions: Expected `int` >= 1
    """
    tree = _read(path)
    _overlay(tree, os.environ if environment is None else environment)
    faults: list[str] = []
    settings = _convert(tree, Settings, "", faults)
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(f"the settings have {count}:\n  " + "\n  ".join(sorted(faults)))
    return typing.cast("Settings", settings)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist; see docker/leverframe.toml for one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put the environment's values into the tree."""
    for name in sorted(environment):
        if name in _SHORTHANDS:
            where: list[str] = list(_SHORTHANDS[name])
        elif name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            where = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        else:
            continue
        node = tree
        for part in where[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{name}: {part} is a value, it has no keys of its own")
        node[where[-1]] = _FromEnvironment(environment[name])


class _FromEnvironment(str):
    """A value as the environment gives it: TOML where that fits the key, else the text itself."""

    __slots__ = ()

    @property
    def literal(self) -> Any:
        try:
            return tomllib.loads(f"value = {self}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            return str(self)


def _convert(value: Any, kind: Any, path: str, faults: list[str]) -> Any:
    """Convert field by field, so that all faults are found and not just the first."""
    if isinstance(value, _FromEnvironment):
        # A password of digits is a password, not a number.
        value = str(value) if kind is str else value.literal
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return _convert_struct(value, kind, path, faults)
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        return {
            name: _convert(item, inner, f"{path}.{name}", faults) for name, item in value.items()
        }
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        faults.append(f"{path}{inside.rstrip('`')}: {text}")
        return None


def _convert_struct(
    value: dict[str, Any], kind: type[Struct], path: str, faults: list[str]
) -> Struct | None:
    hints = typing.get_type_hints(kind, include_extras=True)
    before = len(faults)
    dot = f"{path}." if path else ""
    for name in value.keys() - hints.keys():
        close = difflib.get_close_matches(name, hints, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(hints))}"
        faults.append(f"{dot}{name}: unknown key; {hint}")
    fields = {
        name: _convert(value[name], hints[name], f"{dot}{name}", faults)
        for name in hints
        if name in value
    }
    return kind(**fields) if len(faults) == before else None
