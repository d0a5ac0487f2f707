"""The one table of topics: names, keys, partitions, cleanup (DESIGN.md section 4)."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from msgspec import Struct

__all__ = ["MAX_ENTRY_BYTES", "TOPICS", "DeclaredTopic", "TopicSpec", "Topics", "copies_in"]

DAY_MS: Final = 86_400_000
AUDIT_RETENTION_DAYS: Final = 365
# A clock that runs ahead would close the windows of everybody else's requests.
MAX_CLOCK_AHEAD_MS: Final = 300_000
# A route with 1,000 arms and all their time buckets is one entry.
MAX_ENTRY_BYTES: Final = 8 << 20


class TopicSpec(Struct, frozen=True, kw_only=True):
    """One topic as it must exist on the broker; what is None is left to the broker.

    Attributes
    ----------
    name : str
        Without the prefix.
    key : str
        What the key of a record is.
    partitioned_by : {"request", "route"}
        Which of the two partition counts applies.
    cleanup : str
        Kafka's ``cleanup.policy``.
    retention_ms : int
        Kafka's ``retention.ms``; the attribution window is added where it matters.
    min_compaction_lag_ms : int, optional
        Kafka's ``min.compaction.lag.ms``.
    max_message_bytes : int, optional
        Kafka's ``max.message.bytes``.
    max_clock_ahead_ms : int, optional
        Kafka's ``message.timestamp.after.max.ms``, for what others produce.
    """

    name: str
    key: str
    partitioned_by: Literal["request", "route"]
    cleanup: str
    retention_ms: int = 7 * DAY_MS
    min_compaction_lag_ms: int | None = None
    max_message_bytes: int | None = None
    max_clock_ahead_ms: int | None = None


TOPICS: Final = (
    TopicSpec(
        name="predictions",
        key="request_id",
        partitioned_by="request",
        cleanup="delete",
        max_clock_ahead_ms=MAX_CLOCK_AHEAD_MS,
    ),
    TopicSpec(
        name="ground-truth",
        key="request_id",
        partitioned_by="request",
        cleanup="delete",
        max_clock_ahead_ms=MAX_CLOCK_AHEAD_MS,
    ),
    TopicSpec(
        name="commands",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        retention_ms=90 * DAY_MS,
        max_clock_ahead_ms=MAX_CLOCK_AHEAD_MS,
    ),
    TopicSpec(name="rewards", key="route", partitioned_by="route", cleanup="delete"),
    TopicSpec(
        name="control",
        key="route",
        partitioned_by="route",
        cleanup="compact",
        # A day of history: what the dashboard shows and explain explains.
        min_compaction_lag_ms=DAY_MS,
    ),
    TopicSpec(
        name="control-acks",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        max_clock_ahead_ms=MAX_CLOCK_AHEAD_MS,
    ),
    TopicSpec(
        name="traffic",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        retention_ms=DAY_MS,
    ),
    TopicSpec(name="route-settings", key="route", partitioned_by="route", cleanup="compact"),
    TopicSpec(
        name="audit",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        retention_ms=AUDIT_RETENTION_DAYS * DAY_MS,  # or what the settings say
    ),
    TopicSpec(name="dead-letters", key="as it came", partitioned_by="route", cleanup="delete"),
    TopicSpec(
        name="attribution-changelog",
        key="request_id",
        partitioned_by="request",
        cleanup="compact,delete",
        max_message_bytes=MAX_ENTRY_BYTES,
    ),
    TopicSpec(
        name="learning-changelog",
        key="route",
        partitioned_by="route",
        cleanup="compact",
        max_message_bytes=MAX_ENTRY_BYTES,
    ),
)


def copies_in(form: str) -> tuple[TopicSpec, ...]:
    """Return the topics that are written once more in a format; the job does not read them.

    Rewards first, then control messages; none for ``json``, which all are written in.
    """
    if form == "json":
        return ()
    return (
        TopicSpec(name=f"rewards-{form}", key="route", partitioned_by="route", cleanup="delete"),
        TopicSpec(name=f"control-{form}", key="route", partitioned_by="route", cleanup="compact"),
    )


class DeclaredTopic(NamedTuple):
    """A topic of one application, ready for the broker: full name, partitions, Kafka's settings."""

    name: str
    partitions: int
    config: dict[str, str]


class Topics:
    """Full names of all topics of one application: ``prefix`` before each, its id in changelogs."""

    def __init__(self, app_id: str, prefix: str = "") -> None:
        self._app_id = app_id
        self.prefix = prefix
        names = {spec.name: self.full_name(spec) for spec in TOPICS}
        self.predictions = names["predictions"]
        self.ground_truth = names["ground-truth"]
        self.commands = names["commands"]
        self.rewards = names["rewards"]
        self.control = names["control"]
        self.control_acks = names["control-acks"]
        self.traffic = names["traffic"]
        self.route_settings = names["route-settings"]
        self.audit = names["audit"]
        self.dead_letters = names["dead-letters"]
        self.attribution_changelog = names["attribution-changelog"]
        self.learning_changelog = names["learning-changelog"]

    def full_name(self, spec: TopicSpec) -> str:
        """Return a topic's name on the broker."""
        own = f"{self._app_id}-" if spec.name.endswith("-changelog") else ""
        return f"{self.prefix}{own}{spec.name}"

    def copies(self, form: str) -> tuple[str, ...]:
        """Return the names of what is written once more in a format: rewards, then control."""
        return tuple(self.full_name(spec) for spec in copies_in(form))

    def declared(
        self,
        *,
        partitions: int,
        route_partitions: int,
        longest_window_ms: int,
        audit_retention_days: int = AUDIT_RETENTION_DAYS,
        form: str = "json",
    ) -> Iterator[DeclaredTopic]:
        """Yield every topic with one of the two partition counts.

        What is deleted by age is kept at least twice as long as the longest attribution window, but
        for the audit, which nothing waits for.
        """
        for spec in (*TOPICS, *copies_in(form)):
            count = partitions if spec.partitioned_by == "request" else route_partitions
            config = _config(spec, longest_window_ms)
            if spec.name == "audit":
                config["retention.ms"] = str(audit_retention_days * DAY_MS)
            yield DeclaredTopic(self.full_name(spec), count, config)


def _config(spec: TopicSpec, longest_window_ms: int) -> dict[str, str]:
    config: dict[str, str | int | None] = {
        "cleanup.policy": spec.cleanup,
        "min.compaction.lag.ms": spec.min_compaction_lag_ms,
        "max.message.bytes": spec.max_message_bytes,
        "message.timestamp.after.max.ms": spec.max_clock_ahead_ms,
    }
    if "delete" in spec.cleanup:
        config["retention.ms"] = max(spec.retention_ms, 2 * longest_window_ms + DAY_MS)
    if "compact" in spec.cleanup:
        config |= {"min.cleanable.dirty.ratio": "0.3", "segment.ms": DAY_MS}
    return {name: str(value) for name, value in config.items() if value is not None}
