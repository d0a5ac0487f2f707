"""Pages for on-call tools: events of PagerDuty (Events API v2) and alerts of Opsgenie. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

import orjson
from msgspec import Struct

from leverframe.agents.operator.narrate import CRITICAL_ALARMS
from leverframe.agents.worker.conditions import kind_of
from leverframe.agents.worker.notices import Notice
from leverframe.schemas.control import ControlMessage

__all__ = ["Page", "Posting", "is_critical", "page_of", "page_over", "posting_of"]

Severity: TypeAlias = Literal["critical", "warning", "info"]

# As their makers say: PagerDuty 1,024 and 255, Opsgenie 130, 512 and 15,000.
_SUMMARY: Final = 1024
_MESSAGE: Final = 130
_KEY: Final = 255
_DESCRIPTION: Final = 15_000
_PRIORITIES: Final[Mapping[Severity, str]] = {"critical": "P1", "warning": "P3", "info": "P5"}
_FOR_INFORMATION: Final = frozenset({"promotion", "ramp"})


class Page(Struct, frozen=True, kw_only=True):
    """Something that somebody on call hears of, or that it is over.

    Attributes
    ----------
    key : str
        One for each deployment, route and kind: a second one joins the first.
    kind : str
        ``rollback``, the name of an alarm, ...
    severity : {"critical", "warning", "info"}
        How urgent it is.
    text : str
        One line.
    message : ControlMessage
        That says it.
    is_over : bool
        Whether the condition has ended.
    """

    key: str
    kind: str
    severity: Severity
    text: str
    message: ControlMessage
    is_over: bool = False


class Posting(Struct, frozen=True):
    """What is posted, and where to."""

    url: str
    body: bytes
    headers: dict[str, str]


def is_critical(notice: Notice) -> bool:
    """Whether users meet harm, or met it until now; what a person did is known to one."""
    if notice.event == "rollback":
        return bool(notice.message.cause["why"] != "command")
    return notice.event == "alarm" and kind_of(notice) in CRITICAL_ALARMS


def page_of(notice: Notice, deployment: str) -> Page:
    """Return the page of a notice."""
    severity: Severity = "info" if notice.event in _FOR_INFORMATION else "warning"
    return Page(
        key=_key(deployment, notice.message.route, kind_of(notice)),
        kind=kind_of(notice),
        severity="critical" if is_critical(notice) else severity,
        text=notice.text,
        message=notice.message,
    )


def page_over(message: ControlMessage, kind: str, deployment: str) -> Page:
    """Return the page that says by a heartbeat that a condition has ended."""
    return Page(
        key=_key(deployment, message.route, kind),
        kind=kind,
        severity="info",
        text=f"{message.route}: {kind} is over",
        message=message,
        is_over=True,
    )


def posting_of(page: Page, form: str, url: str, key: str) -> Posting:
    """Return what is posted of a page in a form, ``pagerduty`` or ``opsgenie``."""
    return (_pagerduty if form == "pagerduty" else _opsgenie)(page, url, key)


def _key(deployment: str, route: str, kind: str) -> str:
    key = f"{deployment}/{route}/{kind}"
    if len(key) <= _KEY:
        return key
    digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return f"{key[: _KEY - len(digest) - 1]}-{digest}"


def _evidence(message: ControlMessage) -> dict[str, Any]:
    """The cause without the arms, which may be thousands."""
    return {name: told for name, told in message.cause.items() if name != "arms"}


def _pagerduty(page: Page, url: str, key: str) -> Posting:
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "resolve" if page.is_over else "trigger",
        "dedup_key": page.key,
    }
    if not page.is_over:
        message = page.message
        at = datetime.fromtimestamp(message.issued_at_ms / 1000, tz=UTC)
        event["client"] = "Leverframe"
        event["payload"] = {
            "summary": page.text[:_SUMMARY],
            "source": message.route,
            "severity": page.severity,
            "timestamp": at.isoformat(timespec="milliseconds"),
            "component": message.route,
            "class": page.kind,
            "custom_details": {
                "epoch": message.epoch,
                "seq": message.seq,
                "champion": message.champion,
                "cause": _evidence(message),
            },
        }
    return Posting(url, orjson.dumps(event), {})


def _opsgenie(page: Page, url: str, key: str) -> Posting:
    headers = {"Authorization": f"GenieKey {key}"}
    if page.is_over:
        body = {"source": "leverframe", "note": page.text}
        address = f"{url.rstrip('/')}/{quote(page.key, safe='')}/close?identifierType=alias"
        return Posting(address, orjson.dumps(body), headers)
    message = page.message
    alert = {
        "message": page.text[:_MESSAGE],
        "alias": page.key,
        "description": page.text[:_DESCRIPTION],
        "priority": _PRIORITIES[page.severity],
        "source": "leverframe",
        "entity": message.route,
        "tags": ["leverframe", page.kind],
        "details": {
            "version": f"{message.epoch}.{message.seq}",
            "champion": message.champion or "",
            "cause": str(message.cause["why"]),
        },
    }
    return Posting(url, orjson.dumps(alert), headers)
