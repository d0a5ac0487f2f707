"""The one table of topics: names, keys, partitions, cleanup (DESIGN.md section 4)."""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

__all__ = ["MAX_ENTRY_BYTES", "TOPICS", "TopicSpec", "Topics"]

DAY_MS: Final = 86_400_000
MAX_CLOCK_AHEAD_MS: Final = 300_000
# A route with 1,000 arms and all their time buckets is one entry.
MAX_ENTRY_BYTES: Final = 8 << 20


class TopicSpec(Struct, frozen=True, kw_only=True):
    """One topic as it must exist on the broker.

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
    """

    name: str
    key: str
    partitioned_by: Literal["request", "route"]
    cleanup: str
    retention_ms: int = 7 * DAY_MS


TOPICS: Final = (
    TopicSpec(name="predictions", key="request_id", partitioned_by="request", cleanup="delete"),
    TopicSpec(name="ground-truth", key="request_id", partitioned_by="request", cleanup="delete"),
    TopicSpec(
        name="commands",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(name="rewards", key="route", partitioned_by="route", cleanup="delete"),
    TopicSpec(name="control", key="route", partitioned_by="route", cleanup="compact"),
    TopicSpec(name="control-acks", key="route", partitioned_by="route", cleanup="delete"),
    TopicSpec(
        name="traffic",
        key="route",
        partitioned_by="route",
        cleanup="delete",
        retention_ms=DAY_MS,
    ),
    TopicSpec(name="dead-letters", key="as it came", partitioned_by="route", cleanup="delete"),
    TopicSpec(
        name="attribution-changelog",
        key="request_id",
        partitioned_by="request",
        cleanup="compact,delete",
    ),
    TopicSpec(name="learning-changelog", key="route", partitioned_by="route", cleanup="compact"),
)


class Topics:
    """Full names of all topics for one application.

    Parameters
    ----------
    app_id : str
        Id of the application: names its changelogs and consumer group.
    prefix : str
        Put before every name; empty by default.
    """

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
        self.dead_letters = names["dead-letters"]
        self.attribution_changelog = names["attribution-changelog"]
        self.learning_changelog = names["learning-changelog"]

    def full_name(self, spec: TopicSpec) -> str:
        """Return a topic's name on the broker.

        Parameters
        ----------
        spec : TopicSpec
            A row of ``TOPICS``.

        Returns
        -------
        str
            With prefix, and for a changelog with the application's id.
        """
        own = f"{self._app_id}-" if spec.name.endswith("-changelog") else ""
        return f"{self.prefix}{own}{spec.name}"

    def declared(
        self, *, partitions: int, route_partitions: int, longest_window_ms: int
    ) -> Iterator[tuple[str, int, dict[str, str]]]:
        """Yield name, partition count and settings of every topic.

        Parameters
        ----------
        partitions : int
            Of topics keyed by request_id.
        route_partitions : int
            Of topics keyed by route.
        longest_window_ms : int
            Longest attribution window: what is deleted by age is kept at least twice as long.

        Yields
        ------
        tuple of str, int, dict of str to str
            Ready for the broker.
        """
        for spec in TOPICS:
            config = {"cleanup.policy": spec.cleanup}
            if "delete" in spec.cleanup:
                config["retention.ms"] = str(max(spec.retention_ms, 2 * longest_window_ms + DAY_MS))
            if "compact" in spec.cleanup:
                config["min.cleanable.dirty.ratio"] = "0.3"
                config["segment.ms"] = str(DAY_MS)
            if spec.name == "control":
                # A day of history: what the dashboard shows and explain explains.
                config["min.compaction.lag.ms"] = str(DAY_MS)
            if spec.name.endswith("-changelog"):
                config["max.message.bytes"] = str(MAX_ENTRY_BYTES)
            if spec.name in {"predictions", "ground-truth", "commands", "control-acks"}:
                # A clock that runs ahead would close the windows of everybody else's requests.
                config["message.timestamp.after.max.ms"] = str(MAX_CLOCK_AHEAD_MS)
            count = partitions if spec.partitioned_by == "request" else route_partitions
            yield self.full_name(spec), count, config
