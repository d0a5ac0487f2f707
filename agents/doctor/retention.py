"""Whether Kafka keeps records for as long as they are needed."""

from collections.abc import Iterable, Mapping
from typing import Final

from leverframe.agents.doctor.findings import Finding, fault, ok, warning
from leverframe.schemas.dead_letter import MAX_KEPT_BYTES

__all__ = ["judge_retention"]

CHECK: Final = "retention"
_EDIT: Final = "kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {}"
_FOREVER: Final = -1
# Where compaction would drop what is still needed: their keys come again and again.
_NEVER_COMPACT: Final = ("predictions", "ground-truth", "commands", "rewards", "audit")
_MUST_COMPACT: Final = {
    "control": "a serving system that starts finds a history instead of the newest weights",
    "attribution-changelog": "it grows without end, and taking a partition over takes ever longer",
    "learning-changelog": "the state of routes is deleted by age, or grows without end",
}
_NEVER_DELETE: Final = {
    "learning-changelog": "the state of a route that was quiet for so long is forgotten",
    "control": "the newest message of a quiet route is deleted",
}
# Largest batch that the job writes; a dead letter with its headers may be larger.
_BATCH_BYTES: Final = (512 << 10) + 1024
_WRITTEN: Final = {
    "rewards": _BATCH_BYTES,
    "control": _BATCH_BYTES,
    "traffic": _BATCH_BYTES,
    "audit": _BATCH_BYTES,
    "dead-letters": MAX_KEPT_BYTES + (16 << 10),
}
# Kept by age: what is lost when that is shorter than the longest window.
_KEPT_BY_AGE: Final = ("predictions", "ground-truth", "rewards", "attribution-changelog")


def judge_retention(
    wanted: Mapping[str, Mapping[str, str]],
    names: Mapping[str, str],
    actual: Mapping[str, Mapping[str, str]],
    existing: Iterable[str],
    longest_window_ms: int,
) -> list[Finding]:
    """Compare the topics' own settings with what the job needs.

    Parameters
    ----------
    wanted : mapping of str to mapping
        Kafka's settings of each topic as ``leverframe topics create`` makes them, by full name.
    names : mapping of str to str
        Full name of each topic of ``streams.topology``, by its short name.
    actual : mapping of str to mapping
        Kafka's settings as they are, by full name; topics that cannot be read are left out.
    existing : iterable of str
        Full names of the topics that exist; one that does not is another check's fault.
    longest_window_ms : int
        Longest attribution window of any route.

    Returns
    -------
    list of Finding
        One "ok", or what differs.
    """
    found: list[Finding] = []
    for name, topic in names.items():
        if topic in actual:
            found += _judge_cleanup(name, topic, wanted[topic], actual[topic])
            found += _judge_age(name, topic, wanted[topic], actual[topic], longest_window_ms)
            found += _judge_limits(name, topic, wanted[topic], actual[topic])
    hidden = [topic for topic in existing if topic not in actual]
    if hidden:
        found.append(
            warning(
                CHECK,
                ", ".join(hidden),
                "this user may not read the topics' settings, so nothing can be told of them",
                "Allow DescribeConfigs on them (kafka-acls.sh --add)",
            )
        )
    kept = (
        f"{len(actual)} topics keep what the longest window ({longest_window_ms / 1000:g} s) needs"
    )
    return found or [ok(CHECK, "topics", kept)]


def _judge_cleanup(
    name: str, topic: str, wanted: Mapping[str, str], actual: Mapping[str, str]
) -> list[Finding]:
    policy = {word.strip() for word in actual.get("cleanup.policy", "delete").split(",")}
    cure = "Set it: " + _EDIT.format(topic, f"cleanup.policy=[{wanted['cleanup.policy']}]")
    said = f"cleanup.policy is {actual.get('cleanup.policy')}, {wanted['cleanup.policy']} is needed"
    if name in _NEVER_COMPACT and "compact" in policy:
        lost = "older records of a key vanish before they are read"
        return [fault(CHECK, topic, f"{said}: {lost}", cure)]
    if name in _MUST_COMPACT and "compact" not in policy:
        return [fault(CHECK, topic, f"{said}: {_MUST_COMPACT[name]}", cure)]
    if name in _NEVER_DELETE and "delete" in policy:
        return [fault(CHECK, topic, f"{said}: {_NEVER_DELETE[name]}", cure)]
    return []


def _judge_age(
    name: str,
    topic: str,
    wanted: Mapping[str, str],
    actual: Mapping[str, str],
    longest_window_ms: int,
) -> list[Finding]:
    if "retention.ms" not in wanted or "delete" not in actual.get("cleanup.policy", "delete"):
        return []
    found = []
    kept_ms, declared_ms = int(actual.get("retention.ms", _FOREVER)), int(wanted["retention.ms"])
    is_short = kept_ms != _FOREVER and kept_ms < declared_ms
    if is_short:
        is_lossy = name in _KEPT_BY_AGE and kept_ms < longest_window_ms
        kind = fault if is_lossy else warning
        what = (
            f"shorter than the longest window ({_span(longest_window_ms)}): halves of pairs are "
            "deleted while the others are still waited for"
            if is_lossy
            else f"less than the {_span(declared_ms)} that `topics create` sets: {_missed(name)}"
        )
        cure = "Set it: " + _EDIT.format(topic, f"retention.ms={declared_ms}")
        found.append(kind(CHECK, topic, f"kept for {_span(kept_ms)}, {what}", cure))
    if int(actual.get("retention.bytes", _FOREVER)) != _FOREVER and name in _KEPT_BY_AGE:
        found.append(
            warning(
                CHECK,
                topic,
                f"retention.bytes is {actual['retention.bytes']}: under load records are deleted "
                "before their time",
                "Set it: " + _EDIT.format(topic, "retention.bytes=-1"),
            )
        )
    return found


def _missed(name: str) -> str:
    if name == "audit":
        return "what is older is lost to whoever asks"
    return "a worker that was away for longer misses records"


def _judge_limits(
    name: str, topic: str, wanted: Mapping[str, str], actual: Mapping[str, str]
) -> list[Finding]:
    """Sizes and clocks: the two settings whose wrong value is seen only on a bad day."""
    found = []
    size, stamp = "max.message.bytes", "message.timestamp.after.max.ms"
    least = int(wanted.get(size, _WRITTEN.get(name, 0)))
    if int(actual.get(size, least)) < least:
        refused = "the state of a route with many arms" if size in wanted else "a full batch"
        found.append(
            fault(
                CHECK,
                topic,
                f"{size} is {actual[size]}, {least} is needed: {refused} is refused, and the "
                "worker ends",
                "Set it: " + _EDIT.format(topic, f"{size}={least}"),
            )
        )
    if stamp in wanted and int(actual.get(stamp, wanted[stamp])) > int(wanted[stamp]):
        found.append(
            warning(
                CHECK,
                topic,
                f"{stamp} is {actual[stamp]}: one producer whose clock is ahead takes everybody's "
                "stream time along, and windows close early",
                "Set it: " + _EDIT.format(topic, f"{stamp}={wanted[stamp]}"),
            )
        )
    return found


def _span(ms: int) -> str:
    """A duration in the largest unit that keeps it readable."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= 2 * size:
            return f"{ms / size:.4g} {unit}"
    return f"{ms / 1000:g} s"
