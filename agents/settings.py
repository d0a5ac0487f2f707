"""Settings: one TOML file, every key also in the environment, all faults reported at once."""

import os
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field

from leverframe.agents.actuate.settings import (
    ActuateSettings,
    ActuatorSettings,
    KubernetesSettings,
    actuator_faults,
    place_faults,
)
from leverframe.agents.gateway.settings import GatewaySettings
from leverframe.agents.mlflow.settings import (
    MlflowRoute,
    MlflowSettings,
    mlflow_faults,
    mlflow_route_faults,
)
from leverframe.agents.settings_tree import Checks, convert, overlay, read_tree
from leverframe.agents.telemetry.settings import TelemetrySettings
from leverframe.schemas.errors import SettingsError
from leverframe.streams.routes.authority import ActorSettings, actor_faults
from leverframe.streams.routes.faults import detector_faults, field_faults
from leverframe.streams.routes.settings import OTHER_ROUTES, DetectorSettings, RouteSettings
from leverframe.streams.runtime.broker_settings import BrokerSettings, broker_faults
from leverframe.streams.sources.faults import registry_faults, source_faults, topic_faults
from leverframe.streams.sources.settings import RegistrySettings, SourceSettings
from leverframe.streams.topology import AUDIT_RETENTION_DAYS, DeclaredTopic, Topics

__all__ = [
    "AppSettings",
    "NotificationSettings",
    "Settings",
    "TopicSettings",
    "load_routes",
    "load_settings",
]


NoticeKind: TypeAlias = Literal[
    "rollback", "ramp", "ramp_held", "proposal", "probation", "alarm", "promotion", "critical"
]

_PAGERS: Final[Mapping[str, str]] = {
    "pagerduty": "https://events.pagerduty.com/v2/enqueue",
    "opsgenie": "https://api.opsgenie.com/v2/alerts",
}


class AppSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The worker itself.

    Attributes
    ----------
    id : str
        Names the consumer group, the transactional ids and the changelogs.
    datadir : str
        Folder of the local caches; each worker of a machine needs its own.
    block_cache_mb : int
        Of each process, for blocks read from RocksDB, of all its partitions together.
    memtable_mb : int
        Likewise, for what RocksDB has not written to tables yet; less than some 3 for each
        partition makes many small tables.
    processes : int
        Of one worker, which share its partitions; as many as there are cores for it.
    instance : str
        A name of this worker that outlives a restart, such as that of its pod: its partitions wait
        for it for ``session_timeout_s``, and move to nobody when it is back by then. Two workers
        never have the same. Empty: a restart shares the partitions out anew.
    lanes : int
        Of each agent: partitions of a lane share one transaction, and one process. More processes
        than lanes have nothing to do. The same for all workers.
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
    log_format : str
        ``text``, or ``json``: one object a line (docs/logs.md).
    control_key : str
        Signs control messages (HMAC-SHA256); unsigned when empty. Give it by the environment.
    control_key_before : str
        The key before it, while one is replaced by another: what it signed is still read.
    """

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = "leverframe"
    datadir: str = "leverframe-data"
    block_cache_mb: Annotated[int, Meta(ge=1, le=65_536)] = 64
    memtable_mb: Annotated[int, Meta(ge=8, le=65_536)] = 128
    processes: Annotated[int, Meta(ge=1, le=256)] = 1
    instance: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,80}$")] = ""
    lanes: Annotated[int, Meta(ge=1, le=4096)] = 4
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
    log_format: Literal["text", "json"] = "text"
    control_key: str = ""
    control_key_before: str = ""

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
    format : {"json", "avro", "protobuf"}
        ``avro`` writes ``rewards`` and ``control`` once more, to ``rewards-avro`` and
        ``control-avro``, with schemas in the registry, for those who read Avro; ``protobuf``
        likewise, to ``rewards-protobuf`` and ``control-protobuf``.
    cloudevents : bool
        Give each record of ``rewards`` and ``control`` the headers of a CloudEvent.
    audit_retention_days : int
        For how long the topic ``audit`` is kept, where ``leverframe topics create`` makes it.
    """

    prefix: str = ""
    partitions: Annotated[int, Meta(ge=1, le=4096)] = 4
    route_partitions: Annotated[int, Meta(ge=1, le=4096)] = 2
    replication: Annotated[int, Meta(ge=1, le=9)] = 1
    format: Literal["json", "avro", "protobuf"] = "json"
    cloudevents: bool = False
    audit_retention_days: Annotated[int, Meta(ge=1, le=36_500)] = AUDIT_RETENTION_DAYS


class NotificationSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told of what happens (docs/notifications.md).

    Attributes
    ----------
    url : str
        Of a webhook; nobody is told when empty. It may be a secret: give it by the environment.
        With ``pagerduty`` and ``opsgenie`` their own address when empty.
    format : str
        ``json``; ``slack`` for incoming webhooks of Slack and those like it; ``pagerduty`` for its
        Events API v2; ``opsgenie`` for its alerts.
    key : str
        Signs what is posted; unsigned when empty. PagerDuty's routing key, Opsgenie's API key:
        nobody is paged when empty. Give it by the environment.
    events : list of str, optional
        Of ``rollback``, ``ramp``, ``ramp_held``, ``proposal``, ``probation``, ``alarm``,
        ``promotion``, ``critical`` (the job rolled back, or an alarm says that users are harmed).
        Left out: ``rollback``, ``ramp_held``, ``proposal`` and ``alarm``; with ``pagerduty`` and
        ``opsgenie`` ``critical``.
    """

    url: Annotated[str, Meta(pattern=r"^(|https?://[!-~]+)$")] = ""
    format: Literal["json", "slack", "pagerduty", "opsgenie"] = "json"
    key: str = ""
    events: list[NoticeKind] | None = None

    def __repr__(self) -> str:
        """Leave the address and the key out."""
        return f"NotificationSettings(format={self.format!r}, events={self.events!r})"

    @property
    def is_paging(self) -> bool:
        """Whether it is a tool for people on call, which hears when something is over."""
        return self.format in _PAGERS

    @property
    def address(self) -> str:
        """Where to post; empty where nobody is to be told."""
        if self.is_paging and not self.key:
            return ""
        return self.url or _PAGERS.get(self.format, "")

    @property
    def told(self) -> list[NoticeKind]:
        """The kinds that are told."""
        if self.events is not None:
            return self.events
        return ["critical"] if self.is_paging else ["rollback", "ramp_held", "proposal", "alarm"]


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
    notifications : NotificationSettings
        Who is told of what happens.
    paging : NotificationSettings
        Who is told beside them, such as people on call; the same keys.
    routes : dict of str to RouteSettings
        Routes by name; ``"*"`` stands for every other route. Without any, all routes are accepted
        with the defaults.
    sources : dict of str to SourceSettings
        Topics that exist already, by a name of your choice (docs/sources.md).
    registry : RegistrySettings
        Where the schemas of sources are.
    gateway : GatewaySettings
        Deciding over HTTP (docs/gateway.md).
    mlflow : MlflowSettings
        A model registry whose versions become arms (docs/mlflow.md).
    actuators : dict of str to ActuatorSettings
        Places where traffic is split, by a name of your choice (docs/actuators.md).
    kubernetes : KubernetesSettings
        The API server that actuators write to.
    actuate : ActuateSettings
        The process that writes.
    telemetry : TelemetrySettings
        Traces and metrics for OpenTelemetry (docs/telemetry.md).
    actors : dict of str to ActorSettings
        Who may command what; anybody anything without them (docs/authority.md).
    """

    app: AppSettings = AppSettings()
    broker: BrokerSettings = BrokerSettings()
    topics: TopicSettings = TopicSettings()
    notifications: NotificationSettings = field(default_factory=NotificationSettings)
    paging: NotificationSettings = field(default_factory=NotificationSettings)
    routes: dict[str, RouteSettings] = field(
        default_factory=lambda: {OTHER_ROUTES: RouteSettings()}
    )
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    registry: RegistrySettings = RegistrySettings()
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    mlflow: MlflowSettings = field(default_factory=MlflowSettings)
    actuators: dict[str, ActuatorSettings] = field(default_factory=dict)
    kubernetes: KubernetesSettings = KubernetesSettings()
    actuate: ActuateSettings = ActuateSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    actors: dict[str, ActorSettings] = field(default_factory=dict)

    @property
    def control_key(self) -> bytes | None:
        """Key that signs control messages; None when the setting is empty."""
        return self.app.control_key.encode() or None

    @property
    def control_keys(self) -> tuple[bytes, ...]:
        """Keys whose signatures are believed; none when nothing has to be signed."""
        if not self.app.control_key:
            return ()
        keys = (self.app.control_key, self.app.control_key_before)
        return tuple(key.encode() for key in keys if key)

    @property
    def topic_names(self) -> Topics:
        """Full names of all topics."""
        return Topics(self.app.id, self.topics.prefix)

    def declared_topics(self) -> list[DeclaredTopic]:
        """Return every topic as it must exist."""
        longest = max((route.window_s for route in self.routes.values()), default=0.0)
        return list(
            self.topic_names.declared(
                partitions=self.topics.partitions,
                route_partitions=self.topics.route_partitions,
                longest_window_ms=round(longest * 1000),
                audit_retention_days=self.topics.audit_retention_days,
                form=self.topics.format,
            )
        )


def _whole_faults(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what is wrong between sections."""
    own = {topic.name for topic in settings.declared_topics()}
    yield from topic_faults(settings.sources, own)
    yield from registry_faults(settings.sources, settings.registry)
    yield from broker_faults(settings.broker)
    yield from place_faults(settings.actuators)
    yield from actor_faults(settings.actors, settings.app.web_token)
    most = max(settings.topics.partitions, settings.topics.route_partitions)
    if settings.app.lanes < min(settings.app.processes, most):
        yield (
            ("app.lanes", "app", "processes"),
            (
                f"{settings.app.processes} processes share {settings.app.lanes} lanes, so some "
                "have nothing to do: raise lanes (docs/sizing.md)"
            ),
        )
    if settings.topics.format != "json" and not settings.registry.url:
        yield (
            ("topics.format", "topics", "registry"),
            f"{settings.topics.format} needs a registry: [registry] url",
        )


_CHECKS: Final[Checks] = {
    RouteSettings: field_faults,
    DetectorSettings: detector_faults,
    SourceSettings: source_faults,
    MlflowRoute: mlflow_route_faults,
    MlflowSettings: mlflow_faults,
    ActuatorSettings: actuator_faults,
    Settings: _whole_faults,
}


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
    leverframe.schemas.errors.SettingsError: the settings have 2 faults:
      app.name: unknown key; known: ...
      topics.partitions: Expected `int` >= 1
    """
    tree = read_tree(path)
    faults = overlay(tree, os.environ if environment is None else environment, _sections())
    settings = convert(tree, Settings, "", faults, _CHECKS)
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(f"the settings have {count}:\n  " + "\n  ".join(sorted(faults)))
    return typing.cast("Settings", settings)


def load_routes(path: Path) -> dict[str, RouteSettings]:
    """Read the sections ``[routes.NAME]`` of a file alone; the environment adds nothing.

    Raises ``SettingsError`` with every fault and its path, also where there is no such section, or
    one that stands for several routes: settings are applied route by route.
    """
    tree = read_tree(path).get("routes")
    faults: list[str] = []
    if not isinstance(tree, dict) or not tree:
        raise SettingsError(f"{path} has no section [routes.NAME]")
    routes = convert(tree, dict[str, RouteSettings], "routes", faults, _CHECKS)
    if OTHER_ROUTES in tree:
        faults.append(
            'routes."*": settings are applied to routes by their names; those of all others stand '
            "in the workers' settings file"
        )
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(f"{path} has {count}:\n  " + "\n  ".join(sorted(faults)))
    return typing.cast("dict[str, RouteSettings]", routes)


def _sections() -> dict[str, Collection[str]]:
    """Keys by section; ``routes`` has names of routes instead."""
    return {
        name: getattr(kind, "__struct_fields__", ())
        for name, kind in typing.get_type_hints(Settings).items()
    }
