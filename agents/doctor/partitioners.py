"""Whether predictions and labels of one request lie in one partition.

Clients hash keys differently. Java's, aiokafka, kafka-python, franz-go and KafkaJS use murmur2.
librdkafka (confluent-kafka for Python, Go and C#, node-rdkafka, rdkafka) uses CRC-32 unless told
otherwise, Sarama for Go FNV-1a. When two of them write the two halves of a pair, only one pair in N
meets by chance, and nothing anywhere reports an error. So the doctor looks where recent records
lie, and which of the hashes explains it.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from leverframe.agents.doctor.findings import Finding, fault, ok, warning
from leverframe.agents.doctor.sample import Sampled
from leverframe.streams.runtime.kafka import partition_of

__all__ = ["MURMUR2", "PARTITIONERS", "Placement", "fnv1a", "judge_partitioners", "place"]

CHECK: Final = "partitioner"
MURMUR2: Final = "murmur2"
MIN_RECORDS: Final = 20
# One in a million: below that, chance may have put the records where a hash would have.
_SURE: Final = 1e6
_EXPLAINED_SHARE: Final = 0.95
# A key or two that are wrong are dead letters; more are a producer that is.
_STRAY_SHARE: Final = 0.01
_MOST_EARLIER_COUNTS: Final = 64

_CURES: Final = {
    "crc32": "Set partitioner=murmur2_random in that producer: it is a librdkafka client "
    "(confluent-kafka for Python, Go or C#, node-rdkafka, rdkafka), whose default is crc32",
    "fnv1a": "Give that producer a murmur2 partitioner: Sarama's default and fnv1a_random of "
    "librdkafka are FNV-1a (librdkafka: partitioner=murmur2_random)",
    "": "Find the producer (such as by the record named) and let it choose partitions as Kafka's "
    "default partitioner does: no partition of its own, murmur2 of the key",
}


def fnv1a(key: bytes) -> int:
    """Return the hash that Sarama and librdkafka's ``fnv1a`` use.

    Parameters
    ----------
    key : bytes
        Of the record.

    Returns
    -------
    int
        FNV-1a of 32 bits, taken as a signed number, without its sign.

    Examples
    --------
    >>> hex(fnv1a(b"hejsan"))
    '0x17b1e27a'
    """
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return 0x1_0000_0000 - value if value & 0x8000_0000 else value


PARTITIONERS: Final[Mapping[str, Callable[[bytes, int], int]]] = {
    MURMUR2: partition_of,
    "crc32": lambda key, partitions: binascii.crc32(key) % partitions,
    "fnv1a": lambda key, partitions: fnv1a(key) % partitions,
}


class Placement(Struct, frozen=True, kw_only=True):
    """Where the records of one topic lie, and which hash explains it.

    Attributes
    ----------
    topic : str
        Full name.
    partitions : int
        Of the topic.
    records : int
        With a key.
    misplaced : list of Sampled
        Those that lie elsewhere than murmur2 puts their key, in the order given.
    explained_by : str
        The hash, or ``murmur2 of N partitions``, that puts (nearly) all misplaced records where
        they lie and cannot have done so by chance; empty when there is none.
    follows : str
        The one hash behind (nearly) all records of the topic; empty for a mixture.
    """

    topic: str
    partitions: int
    records: int
    misplaced: list[Sampled]
    explained_by: str = ""
    follows: str = ""

    @property
    def is_telling(self) -> bool:
        """Whether there is enough to judge."""
        return self.partitions > 1 and self.records >= MIN_RECORDS


def place(topic: str, records: Sequence[Sampled], partitions: int) -> Placement:
    """Compare where records lie with where hashes of their keys put them.

    Parameters
    ----------
    topic : str
        Full name.
    records : sequence of Sampled
        In any order; those without a key are left out.
    partitions : int
        Of the topic.

    Returns
    -------
    Placement
        What was found.
    """
    keyed = [record for record in records if record.key is not None]
    misplaced = [r for r in keyed if r.partition != partition_of(r.key or b"", partitions)]
    why = _explanation(misplaced, partitions) if misplaced else MURMUR2
    choose = PARTITIONERS.get(why)
    is_alone = choose is not None and _share(keyed, choose, partitions) >= _EXPLAINED_SHARE
    return Placement(
        topic=topic,
        partitions=partitions,
        records=len(keyed),
        misplaced=misplaced,
        explained_by=why if misplaced else "",
        follows=why if is_alone else "",
    )


def _explanation(misplaced: Sequence[Sampled], partitions: int) -> str:
    """The hash that explains the misplaced records, if chance cannot.

    A record that no hash put where it is lies where a given one would have put it about once in
    ``partitions`` times.
    """
    if float(partitions) ** min(len(misplaced), 64) < _SURE:
        return ""
    for name, choose in PARTITIONERS.items():
        if name != MURMUR2 and _share(misplaced, choose, partitions) >= _EXPLAINED_SHARE:
            return name
    for earlier in range(min(partitions - 1, _MOST_EARLIER_COUNTS), 0, -1):
        if _share(misplaced, partition_of, earlier) >= _EXPLAINED_SHARE:
            return f"murmur2 of {earlier} partition{'s' if earlier > 1 else ''}"
    return ""


def _share(
    records: Sequence[Sampled], choose: Callable[[bytes, int], int], partitions: int
) -> float:
    hits = sum(choose(record.key or b"", partitions) == record.partition for record in records)
    return hits / len(records) if records else 1.0


def judge_partitioners(
    predictions: Placement, labels: Placement, samples: Mapping[str, Sequence[Sampled]]
) -> list[Finding]:
    """Tell whether both halves of a pair meet, and whether their keys are what they must be.

    Parameters
    ----------
    predictions : Placement
        Of the topic ``predictions``.
    labels : Placement
        Of the topic ``ground-truth``.
    samples : mapping of str to sequence of Sampled
        The records themselves, by topic.

    Returns
    -------
    list of Finding
        At least one for each topic.
    """
    both = (predictions, labels)
    shared = predictions.follows if all(one.is_telling for one in both) else ""
    if shared and shared != MURMUR2 and labels.follows == shared:
        found = [
            warning(
                CHECK,
                f"{predictions.topic}, {labels.topic}",
                f"both are placed by {shared}, so pairs meet today, and none will any more when "
                "one side's client is replaced by one with Kafka's default (murmur2)",
                _cure(shared),
            )
        ]
    else:
        split = _split_pairs(*(samples[one.topic] for one in both))
        found = [_judge_placement(one, split) for one in both]
    for one in both:
        found += _judge_keys(one.topic, samples[one.topic])
    return found


def _judge_placement(one: Placement, split: int) -> Finding:
    if one.partitions < 2:
        return ok(CHECK, one.topic, "cannot be told yet: with one partition all hashes agree")
    if not one.misplaced:
        said = f"all {one.records:,} newest records with a key lie where murmur2 puts them"
        unsure = f"cannot be told yet: {one.records} records with a key, {MIN_RECORDS} are needed"
        return ok(CHECK, one.topic, said if one.is_telling else unsure)
    count, worst = len(one.misplaced), max(one.misplaced, key=lambda record: record.timestamp_ms)
    why = f"{one.explained_by} explains them" if one.explained_by else "no known hash explains them"
    met = f"; {split:,} recent request ids lie in different partitions of the two topics"
    return fault(
        CHECK,
        one.topic,
        f"{count:,} of the {one.records:,} newest records ({count / one.records:.1%}) do not lie "
        f"where Kafka's default partitioner (murmur2) puts their keys: {why} (such as "
        f"{worst.key!r:.80} at {one.topic}-{worst.partition} offset {worst.offset})"
        f"{met if split else ''}. Their other halves are never met",
        _cure(one.explained_by),
    )


def _cure(explained_by: str) -> str:
    if explained_by.startswith("murmur2 of"):
        return (
            "Partitions were added after these records were written, or a producer still believes "
            "in the old count: restart the producers; keys have moved, so use topics made anew "
            "(another [topics] prefix) rather than more partitions"
        )
    return _CURES[explained_by]


def _split_pairs(predictions: Sequence[Sampled], labels: Sequence[Sampled]) -> int:
    first, second = (
        {record.key: record.partition for record in half if record.key is not None}
        for half in (predictions, labels)
    )
    return sum(first[key] != second[key] for key in first.keys() & second.keys())


def _judge_keys(topic: str, records: Sequence[Sampled]) -> list[Finding]:
    keyless = [record for record in records if record.key is None]
    other = [r for r in records if r.key is not None and r.name and r.name.encode() != r.key]
    found = []
    for wrong, what, reason in (
        (keyless, "have no key", "missing_key"),
        (other, "have a key that is not the request_id in their value", "key_mismatch"),
    ):
        if not wrong:
            continue
        kind = fault if len(wrong) >= _STRAY_SHARE * len(records) else warning
        last = max(wrong, key=lambda record: record.timestamp_ms)
        found.append(
            kind(
                CHECK,
                topic,
                f"{len(wrong):,} of the {len(records):,} newest records {what}, such as offset "
                f"{last.offset} of partition {last.partition}; each is a dead letter ({reason})",
                "Let the producer use the request_id, as UTF-8 text, as the record's key",
            )
        )
    return found
