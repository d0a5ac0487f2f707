"""Signs control records and checks them: HMAC-SHA256 over the exact bytes, in a record header.

What is signed is what lies on the topic, and no reader encodes anything again. So a message with a
field that a subscriber does not know yet keeps its signature, and every language can check one::

    header   leverframe-signature: v1=<hex>
    hex      HMAC-SHA256(secret, "v1" + n(topic) + topic + n(key) + key + value)
    n(x)     number of bytes of x, 4 bytes, big-endian

Topic and key are signed too: a message cannot be moved to another topic or route.
"""

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Final, Protocol

from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import ControlError, RecordError

__all__ = ["SIGNATURE_HEADER", "KafkaRecord", "check_signature", "read_control", "signature_of"]

SIGNATURE_HEADER: Final = "leverframe-signature"
_LENGTH: Final = struct.Struct(">I")


class KafkaRecord(Protocol):
    """A record as any Kafka client gives it.

    Attributes
    ----------
    topic : str
        Full name.
    key, value : bytes or None
        As on the wire.
    headers : sequence of (str, bytes)
        As on the wire.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def signature_of(topic: str, key: bytes, value: bytes, secret: bytes) -> bytes:
    """Return the signature of a record, for its header ``SIGNATURE_HEADER``.

    Parameters
    ----------
    topic : str
        Full name.
    key : bytes
        As it is published.
    value : bytes
        As it is published.
    secret : bytes
        Shared with the readers.

    Returns
    -------
    bytes
        ``v1=`` and 64 hex digits.

    Examples
    --------
    >>> signature_of("control", b"checkout", b"{}", b"a secret")[:19]
    b'v1=5fa955a898e25726'
    """
    name = topic.encode()
    signed = b"".join((b"v1", _LENGTH.pack(len(name)), name, _LENGTH.pack(len(key)), key, value))
    return b"v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest().encode()


def check_signature(record: KafkaRecord, secrets: Sequence[bytes]) -> None:
    """Refuse a record that none of the secrets has signed.

    Parameters
    ----------
    record : KafkaRecord
        As read.
    secrets : sequence of bytes
        Shared with the job; two while a secret is replaced. Nothing is checked when there is none.

    Raises
    ------
    ControlError
        If the signature is missing or wrong.
    """
    if not secrets:
        return
    given = [value for name, value in record.headers if name == SIGNATURE_HEADER]
    where = f"a record of {record.topic} with the key {record.key!r:.80}"
    if not given:
        raise ControlError(f"{where} is not signed")
    key, value = record.key or b"", record.value or b""
    right = [signature_of(record.topic, key, value, secret) for secret in secrets]
    # Every pair is compared, so that the time says nothing.
    matches = [hmac.compare_digest(a, b) for a in given for b in right]
    if not any(matches):
        raise ControlError(f"{where} has a wrong signature")


def read_control(record: KafkaRecord, secrets: Sequence[bytes]) -> ControlMessage | None:
    """Read a control message as a subscriber does.

    Parameters
    ----------
    record : KafkaRecord
        Of ``control``.
    secrets : sequence of bytes
        As for ``check_signature``.

    Returns
    -------
    ControlMessage or None
        None where no subscriber would follow it: a tombstone, unreadable, unsigned, forged.
    """
    if record.value is None:
        return None
    try:
        check_signature(record, secrets)
        return decode(ControlMessage, record.value)
    except (ControlError, RecordError):
        return None
