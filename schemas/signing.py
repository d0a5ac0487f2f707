"""Signs control messages and checks them: HMAC-SHA256 over the message without its signature."""

import hashlib
import hmac

import msgspec

from leverframe.schemas.codec import decode, encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import ControlError, RecordError

__all__ = ["sign", "trusted", "verify"]


def _mac(message: ControlMessage, key: bytes) -> str:
    bare = msgspec.structs.replace(message, signature=None)
    return hmac.new(key, encode(bare), hashlib.sha256).hexdigest()


def sign(message: ControlMessage, key: bytes) -> ControlMessage:
    """Return the message with its signature.

    Parameters
    ----------
    message : ControlMessage
        Complete but for the signature.
    key : bytes
        Shared with the subscribers.

    Returns
    -------
    ControlMessage
        Signed.
    """
    return msgspec.structs.replace(message, signature=_mac(message, key))


def verify(message: ControlMessage, key: bytes) -> None:
    """Refuse a message that was not signed with the key.

    Parameters
    ----------
    message : ControlMessage
        As read.
    key : bytes
        Shared with the job.

    Raises
    ------
    ControlError
        If the signature is missing or wrong.
    """
    if message.signature is None:
        raise ControlError(f"control message of {message.route!r} is not signed")
    try:
        expected = _mac(message, key).encode()
    except (TypeError, ValueError) as error:
        # Such as a whole number that no JSON of ours can hold: nothing of ours wrote it.
        raise ControlError(f"control message of {message.route!r} cannot be checked") from error
    if not hmac.compare_digest(message.signature.encode("utf-8", "replace"), expected):
        raise ControlError(f"control message of {message.route!r} has a wrong signature")


def trusted(value: bytes | None, key: bytes | None) -> ControlMessage | None:
    """Read a control message as a subscriber does.

    Parameters
    ----------
    value : bytes or None
        Of a record of ``control``.
    key : bytes or None
        Shared with the job; nothing has to be signed when it is None.

    Returns
    -------
    ControlMessage or None
        None where no subscriber would follow it: a tombstone, unreadable, unsigned, forged.
    """
    if value is None:
        return None
    try:
        message = decode(ControlMessage, value)
        if key is not None:
            verify(message, key)
    except (ControlError, RecordError):
        return None
    return message
