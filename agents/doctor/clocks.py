"""Whether the clocks of producers, workers and this machine agree.

Kafka has no request that tells the broker's time, and the doctor writes nothing. So it measures
what record times show: a record stamped later than now proves that its writer's clock (the
broker's, for ``LogAppendTime``) is ahead of this machine's; one stamped much earlier than a record
before it proves a clock behind, or a backfill. A writer whose clock is behind by less cannot be
told from a quiet one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from leverframe.agents.doctor.findings import Finding, ok, warning
from leverframe.agents.doctor.sample import Sample, Sampled

__all__ = ["judge_clocks"]

CHECK: Final = "clock"
AHEAD_MS: Final = 5_000
BEHIND_MS: Final = 3_600_000


def judge_clocks(samples: Mapping[str, Sample], control: str) -> list[Finding]:
    """Compare record times with this machine's time and with each other.

    Parameters
    ----------
    samples : mapping of str to Sample
        Newest records of both input topics and of ``control``, by full name.
    control : str
        Full name of ``control``, whose record times are a worker's.

    Returns
    -------
    list of Finding
        One "ok", or a warning for each topic and direction.
    """
    found: list[Finding] = []
    newest: list[str] = []
    for topic, sample in samples.items():
        if not sample.records:
            continue
        last = max(sample.records, key=lambda record: record.timestamp_ms)
        ahead_ms = last.timestamp_ms - sample.taken_at_ms
        newest.append(f"{topic} {-ahead_ms / 1000:.1f} s ago")
        if ahead_ms > AHEAD_MS:
            found.append(_ahead(topic, last, ahead_ms, is_control=topic == control))
        late, most_ms = _behind(sample.records)
        if late:
            found.append(
                warning(
                    CHECK,
                    topic,
                    f"{late:,} of the {len(sample.records):,} newest records are stamped over "
                    f"{BEHIND_MS // 3_600_000} h (up to {most_ms / 3_600_000:.1f} h) earlier than "
                    "a record before them: a producer's clock is behind, or it sends old data",
                    "Set that machine's clock (NTP); record times decide whether a pair is within "
                    "its window",
                )
            )
    if found:
        return found
    if not newest:
        return [ok(CHECK, "record times", "cannot be told yet: no records")]
    said = "no record is stamped later than this machine's time; newest by its clock: "
    return [ok(CHECK, "record times", said + ", ".join(newest))]


def _ahead(topic: str, last: Sampled, ahead_ms: int, *, is_control: bool) -> Finding:
    whose = "a worker's" if is_control else "a producer's"
    if last.is_broker_time:
        whose = "the broker's"
    return warning(
        CHECK,
        topic,
        f"the newest record (partition {last.partition}, offset {last.offset}) is stamped "
        f"{ahead_ms / 1000:.1f} s later than this machine's time: {whose} clock is ahead, or this "
        "machine's is behind",
        "Set the clocks (NTP); a record time that is ahead closes other requests' windows early",
    )


def _behind(records: Sequence[Sampled]) -> tuple[int, int]:
    """How many records come long after their time, and by how much at most, ms."""
    latest: dict[int, int] = {}
    late, most_ms = 0, 0
    for record in records:
        seen = latest.get(record.partition, record.timestamp_ms)
        behind_ms = seen - record.timestamp_ms
        if behind_ms > BEHIND_MS:
            late += 1
            most_ms = max(most_ms, behind_ms)
        latest[record.partition] = max(seen, record.timestamp_ms)
    return late, most_ms
