"""Bytes to records and back: strict typed decoding with msgspec, encoding with orjson.

Measured costs are in DESIGN.md section 5; the choice is docs/adr/0003-typed-structs.md.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
import orjson

from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlAck, ControlMessage
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.schemas.traffic import Traffic

__all__ = ["RECORDS", "decode", "decoder", "encode", "encode_reward"]

Record = TypeVar("Record", bound=msgspec.Struct)

RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    "predictions": Prediction,
    "ground-truth": GroundTruth,
    "commands": Command,
    "rewards": Reward,
    "control": ControlMessage,
    "control-acks": ControlAck,
    "traffic": Traffic,
    "route-settings": AppliedSettings,
    "audit": AuditEvent,
}


def decoder(kind: type[Record]) -> Callable[[bytes], Record]:
    """Return the strict decoder of one kind of record.

    Parameters
    ----------
    kind : type
        A struct of this package.

    Returns
    -------
    callable
        From bytes to a record. Raises what msgspec raises; hand that to ``decode_error``. This is
        the form for hot loops, which pay for no wrapper while all is well.
    """
    return msgspec.json.Decoder(kind).decode


def decode_error(error: Exception) -> RecordError:
    """Turn what a decoder raised into a ``RecordError`` with a stable reason.

    Parameters
    ----------
    error : Exception
        ``msgspec.ValidationError``, ``msgspec.DecodeError``, ``UnicodeDecodeError`` or
        ``RecursionError``.

    Returns
    -------
    RecordError
        Reason ``invalid`` with the path of the bad field, or ``unreadable``.
    """
    reason = "invalid" if isinstance(error, msgspec.ValidationError) else "unreadable"
    return RecordError(reason, str(error))


DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode(kind: type[Record], value: bytes) -> Record:
    """Decode one record.

    Parameters
    ----------
    kind : type
        A struct of this package.
    value : bytes
        UTF-8 JSON.

    Returns
    -------
    Record
        Unknown fields are ignored, missing optional fields have their defaults.

    Raises
    ------
    RecordError
        ``unreadable`` or ``invalid``; the text names the path of the bad field.

    Examples
    --------
    >>> decode(GroundTruth, b'{"request_id": "a", "label": 1}').label
    1
    >>> decode(GroundTruth, b'{"request_id": "a", "label": [1]}')  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    leverframe.schemas.errors.RecordError: invalid: Expected ..., got `array` - at `$.label`
    """
    try:
        return decoder(kind)(value)
    except DECODE_ERRORS as error:
        raise decode_error(error) from error


encode_reward: Final[Callable[[Reward], bytes]] = msgspec.json.Encoder().encode
"""The bytes of ``encode`` for one kind, in one pass: every label pays for it."""


def encode(record: msgspec.Struct) -> bytes:
    """Encode one record as UTF-8 JSON; fields that have their default are left out.

    Parameters
    ----------
    record : Struct
        A struct of this package.

    Returns
    -------
    bytes
        Fields in the order of the struct's declaration, so the same record gives the same bytes.

    Examples
    --------
    >>> encode(GroundTruth(request_id="a", label=True))
    b'{"request_id":"a","label":true}'
    """
    return orjson.dumps(msgspec.to_builtins(record), option=orjson.OPT_SERIALIZE_NUMPY)
