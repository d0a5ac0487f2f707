"""Topic ``dead-letters``: a record set aside, its raw bytes kept, the reason in its headers."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

__all__ = [
    "HEADER_PREFIX",
    "MAX_KEPT_BYTES",
    "MAX_KEPT_HEADER_BYTES",
    "REASONS",
    "DeadLetter",
    "Reason",
]

Reason: TypeAlias = Literal[
    "unreadable",  # not UTF-8 JSON, or nested beyond measure
    "invalid",  # a field has the wrong type or is out of range, or a required one is missing
    "tombstone",  # no value
    "oversized",  # larger than the largest record that the job accepts
    "missing_key",  # no key
    "wrong_partition",  # not where Kafka's default partitioner (murmur2) puts its route
    "key_mismatch",  # the key differs from request_id, or from route
    "unknown_route",  # no section for it in the settings, and none for other routes
    "unknown_arm",  # not registered, and the route does not register by first reward
    "conflict",  # a second prediction with the same request_id and other content
    "window_closed",  # a change to an account whose attribution window has ended
    "unrewardable",  # the reward function has no value for this prediction and label
    "unsupported",  # understood, but this version cannot do it yet
    "refused",  # a command that makes no sense in the route's state
    "forbidden",  # a command that its actor did not sign, or may not give
    "limit",  # more routes or arms than the job accepts
    "bad_metric",  # a metric is no finite number; the rest of the record counts
    "unmappable",  # a source's record has no such value where the settings look for it
    "unknown_schema",  # the registry does not have the schema that a source's record names
]
REASONS: tuple[str, ...] = get_args(Reason)

HEADER_PREFIX = "leverframe."
# The broker's default limit is 1 MiB a batch; the rest is room for headers.
MAX_KEPT_BYTES = 900_000
MAX_KEPT_HEADER_BYTES = 64 << 10


class DeadLetter(Struct, frozen=True, kw_only=True, gc=False):
    """A record set aside.

    Attributes
    ----------
    key, value : bytes or None
        As they came; the value is cut at ``MAX_KEPT_BYTES``, and ``truncated`` says so.
    topic, partition, offset, timestamp_ms
        Where it lay.
    reason : str
        One of ``REASONS``.
    detail : str
        What exactly is wrong, for people.
    source : str
        Name of the source whose record it is; empty for records of the job's own topics.
    path : str
        Which of its expressions failed; empty where the record could not be read at all.
    own_headers : sequence of (str, bytes or None)
        The record's own, which a source may read; kept up to ``MAX_KEPT_HEADER_BYTES``.
    """

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    source: str = ""
    path: str = ""
    own_headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def kept_value(self) -> bytes | None:
        """The value, cut to what a dead letter may hold."""
        return self.value if self.value is None else self.value[:MAX_KEPT_BYTES]

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Coordinates and reason as Kafka headers."""
        fields = {
            "reason": self.reason,
            "detail": self.detail[:1000],
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "timestamp_ms": str(self.timestamp_ms),
        }
        if self.value is not None and len(self.value) > MAX_KEPT_BYTES:
            fields["truncated"] = str(len(self.value))
        if self.source:
            fields |= {"source": self.source, "path": self.path[:1000]}
        own = [(n, v or b"") for n, v in self.own_headers if not n.startswith(HEADER_PREFIX)]
        size = sum(len(name) + len(value) for name, value in own)
        if size > MAX_KEPT_HEADER_BYTES:
            fields["headers_cut"] = str(size)
            own = []
        told = [(HEADER_PREFIX + name, text.encode()) for name, text in fields.items()]
        return told + own
