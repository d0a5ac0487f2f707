"""Which control messages somebody is to be told of, and in which words. Pure."""

import hashlib
import hmac

import orjson
from msgspec import Struct

from leverframe.agents.operator.narrate import why
from leverframe.schemas.causes import ALARMS
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage

__all__ = ["Notice", "body_of", "notice_of", "signature_of"]


class Notice(Struct, frozen=True):
    """What somebody is to be told.

    Attributes
    ----------
    event : str
        ``rollback``, ``promotion``, ``ramp``, ``ramp_held``, ``proposal``, ``probation`` or
        ``alarm``.
    text : str
        One line: what happened, and why.
    message : ControlMessage
        Which says it.
    """

    event: str
    text: str
    message: ControlMessage

    @property
    def id(self) -> str:
        """The same at each delivery: who gets it twice can tell."""
        return f"{self.message.route}/{self.message.epoch}.{self.message.seq}"


def notice_of(message: ControlMessage) -> Notice | None:
    """Say whether a control message is worth a notification.

    Parameters
    ----------
    message : ControlMessage
        Any.

    Returns
    -------
    Notice or None
        None for heartbeats, shifts of a policy, and what a person did without a rollback.
    """
    event = _event(message)
    if event is None:
        return None
    return Notice(event, f"{message.route}: {why(message)}", message)


def _event(message: ControlMessage) -> str | None:
    reason, step = message.cause.get("why"), message.cause.get("step")
    if message.kind in {"rollback", "promotion"}:
        return message.kind
    if message.kind == "heartbeat":
        return None
    if reason == "ramp":
        return "ramp_held" if step in {"waiting", "aborted"} else "ramp"
    if reason == "drift" and message.cause.get("action") == "hold":
        return "ramp_held"
    is_told = reason == "proposal" or (reason == "probation" and step == "begun")
    return reason if is_told else "alarm" if reason in ALARMS else None


def body_of(notice: Notice, form: str) -> bytes:
    """Return what is posted.

    Parameters
    ----------
    notice : Notice
        To be told.
    form : {"json", "slack"}
        ``slack`` is what incoming webhooks of Slack, and of those like it, take.

    Returns
    -------
    bytes
        JSON.
    """
    if form == "slack":
        # Slack's three marks; anything else of its markup needs one of them to do harm.
        text = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return orjson.dumps({"text": f"[{notice.event}] {text}"})
    return orjson.dumps(
        {
            "event": notice.event,
            "id": notice.id,
            "text": notice.text,
            "message": orjson.Fragment(encode(notice.message)),
        }
    )


def signature_of(body: bytes, key: str, at_s: int) -> str:
    """Sign a body, so that the receiver knows who sent it, and when.

    Parameters
    ----------
    body : bytes
        As it is posted.
    key : str
        Shared with the receiver.
    at_s : int
        Seconds since the epoch.

    Returns
    -------
    str
        ``t=<seconds>,v1=<hex of HMAC-SHA256 over "<seconds>.<body>">``.

    Examples
    --------
    >>> signature_of(b"{}", "key", 1)[:12]
    't=1,v1=1ba6b'
    """
    mac = hmac.new(key.encode(), b"%d.%s" % (at_s, body), hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"
