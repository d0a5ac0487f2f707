"""From records to outputs of a transaction."""

from msgspec import Struct

from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.signing import SIGNATURE_HEADER, signature_of
from leverframe.streams.runtime.kafka import key_partition, partition_of
from leverframe.streams.runtime.ledger import Output

__all__ = ["OwnRecord", "audit_output", "burst_record", "control_output", "dead_letter_output"]


def audit_output(event: AuditEvent, topic: str, partitions: int) -> Output:
    """Return what is kept of who did what, as an output to a topic with so many partitions.

    Keyed by route, also where a refused command lay in the wrong partition.
    """
    key = event.route.encode()
    return Output(topic, partition_of(key, partitions), key, encode(event))


def dead_letter_output(letter: DeadLetter, topic: str, partitions: int) -> Output:
    """Return a dead letter as an output to a topic with so many partitions.

    Key and value are as they came, cut to what a record may hold; the rest is in headers.
    """
    key = letter.key if letter.key is None else letter.key[:1024]
    return Output(
        topic,
        key_partition(key, letter.offset, partitions),
        key,
        letter.kept_value,
        letter.headers,
    )


def control_output(
    message: ControlMessage, topic: str, partition: int, secret: bytes | None
) -> Output:
    """Return a control message as an output, keyed by route, signed if there is a secret.

    The partition is that of the route's ledger.
    """
    key, value = message.route.encode(), encode(message)
    headers = []
    if secret is not None:
        headers.append((SIGNATURE_HEADER, signature_of(topic, key, value, secret)))
    return Output(topic, partition, key, value, headers)


class OwnRecord(Struct):
    """A record that is published with what came of it, as a reader of its topic will see it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int = 0

    @property
    def output(self) -> Output:
        """Return it as it is published."""
        return Output(self.topic, self.partition, self.key, self.value)


def burst_record(
    route: str, due_ms: int, after_reward: int, topic: str, partition: int, now_ms: int
) -> OwnRecord:
    """Return the job's own command to decide on labels that wait since a burst of them.

    ``after_reward`` is the offset of the first reward that is not counted yet: there a replay
    decides too, whatever the records' times say.
    """
    command = Command(
        command_id=f"decide-{due_ms}",
        route=route,
        action="decide",
        params={"due_ms": due_ms, "after_reward": after_reward},
        actor="leverframe",
        issued_at_ms=now_ms,
    )
    return OwnRecord(topic, partition, route.encode(), encode(command), now_ms)
