"""Whether a worker runs, keeps up, and speaks."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import TopicPartition
from msgspec import Struct

from leverframe.agents.doctor.findings import Finding, fault, ok, warning
from leverframe.agents.doctor.sample import Sample
from leverframe.streams.runtime.attendance import name_partitions

__all__ = ["Group", "Progress", "judge_attendance"]

CHECK: Final = "worker"
# Markers of transactions count as offsets and are never committed: a few are always "waiting".
WAITING_RECORDS: Final = 100
_NAMED: Final = 5
# As Kafka names a group that has shared out its partitions.
_STABLE: Final = "Stable"


class Progress(Struct, frozen=True, kw_only=True):
    """One input topic as the group has read it, looked at twice.

    Attributes
    ----------
    waiting : int
        Offsets between what is committed and the end.
    moved : int
        By how much the committed offsets rose between the two looks.
    """

    waiting: int
    moved: int = 0


class Group(Struct, frozen=True, kw_only=True):
    """The consumer group.

    Attributes
    ----------
    name : str
        Prefix and id of the application.
    state : str
        As the broker says.
    members : list of str
        Hosts of the workers.
    unread : sequence of TopicPartition
        Partitions of the inputs that no member reads.
    progress : dict of str to Progress
        By full name of the input topic.
    watched_s : float
        Time between the two looks; 0 when nothing waited and one was enough.
    removed : dict of str to int
        Offsets that were removed before the group read them, by topic.
    failure : str
        Why nothing is known.
    """

    name: str
    state: str = ""
    members: list[str] = []
    unread: Sequence[TopicPartition] = ()
    progress: dict[str, Progress] = {}
    watched_s: float = 0.0
    removed: dict[str, int] = {}
    failure: str = ""


def judge_attendance(group: Group, control: Sample) -> list[Finding]:
    """Tell what the group and the control topic show of the workers.

    Parameters
    ----------
    group : Group
        As described by the broker.
    control : Sample
        Newest control records.

    Returns
    -------
    list of Finding
        Members, lag, and the age of each route's newest message.
    """
    if group.failure:
        return [
            warning(
                CHECK,
                group.name,
                f"cannot be told: {group.failure}",
                "Allow Describe on the group, or look at the broker",
            )
        ]
    return [*_judge_removed(group), *_judge_members(group), *_judge_routes(control)]


def _judge_removed(group: Group) -> list[Finding]:
    return [
        fault(
            CHECK,
            topic,
            f"{count:,} records were lost to retention before they were read",
            "Keep the topic longer than any outage of the workers; send what matters again",
        )
        for topic, count in group.removed.items()
    ]


def _judge_members(group: Group) -> list[Finding]:
    waiting = ", ".join(f"{topic} {p.waiting:,}" for topic, p in group.progress.items())
    lag = f"lag: {waiting}" if waiting else "lag unknown"
    if not group.members:
        cure = "Start one: leverframe worker"
        return [warning(CHECK, group.name, f"no worker is a member of the group; {lag}", cure)]
    stuck = [
        topic
        for topic, progress in group.progress.items()
        if progress.waiting > WAITING_RECORDS and progress.moved == 0 and group.watched_s > 0
    ]
    hosts = ", ".join(sorted(set(group.members)))
    said = f"{len(group.members)} in the group ({group.state}; {hosts}); {lag}"
    if group.unread:
        return [_judge_unread(group, said)]
    if not stuck:
        return [ok(CHECK, group.name, said)]
    return [
        warning(
            CHECK,
            group.name,
            f"{said}; nothing was committed for {group.watched_s:.0f} s of {', '.join(stuck)}",
            "Look at the workers' logs: one restores its state, or ends and starts again",
        )
    ]


def _judge_unread(group: Group, said: str) -> Finding:
    unread = f"{said}; no member reads {name_partitions(group.unread)}"
    if group.state != _STABLE:
        return warning(CHECK, group.name, unread, "The group shares its partitions: ask again")
    cure = (
        "Start the workers again; end any program in the group that is no worker (a console "
        "consumer, a mirror): kafka-consumer-groups.sh --describe --members"
    )
    return fault(CHECK, group.name, unread, cure)


def _judge_routes(control: Sample) -> list[Finding]:
    newest: Mapping[str, tuple[int, int]] = {
        record.name: (control.taken_at_ms - record.timestamp_ms, record.ttl_ms)
        for record in sorted(control.records, key=lambda record: record.timestamp_ms)
        if record.name
    }
    if not newest:
        return [ok(CHECK, "control", "no route yet: nothing was rewarded or registered")]
    silent = sorted(name for name, (age_ms, ttl_ms) in newest.items() if age_ms > ttl_ms)
    if not silent:
        age_ms = max(age for age, _ in newest.values())
        many = f"{len(newest)} route{'s' if len(newest) > 1 else ''}"
        said = f"{many}; newest message at most {_s(age_ms)} old"
        return [ok(CHECK, "control", said)]
    ages = ", ".join(f"{name} {_s(newest[name][0])}" for name in silent[:_NAMED])
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return [
        warning(
            CHECK,
            "control",
            "silent for longer than their ttl_s, so serving systems use safe weights: "
            f"{ages}{more}",
            "Start a worker, or look at its log: leverframe worker",
        )
    ]


def _s(ms: int) -> str:
    return f"{max(0, ms) / 1000:.1f} s"
