"""Events of the audit as sentences, and as rows of a table. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from leverframe.agents.operator.narrate import sentence
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.causes import cause_of

__all__ = ["COLUMNS", "audit_row", "audit_text"]

_SHOWN_PARAMS: Final = 200

COLUMNS: Final = (
    "time",
    "route",
    "event",
    "outcome",
    "actor",
    "signed",
    "action",
    "arm",
    "text",
    "epoch",
    "seq",
    "state_digest",
    "command_id",
    "reason",
    "params",
    "evidence",
)
"""Of a row, in order."""


def audit_text(event: AuditEvent) -> str:
    """Say what happened, and on which evidence; who did it stands beside."""
    if event.event == "command":
        return _command(event)
    if event.event == "verdict":
        return _verdict(event)
    return sentence(cause_of(event.evidence))


def audit_row(event: AuditEvent) -> Iterator[str]:
    """Yield the cells of an event; what a spreadsheet would compute is made a text by a quote."""
    at = datetime.fromtimestamp(event.at_ms / 1000, tz=UTC)
    cells = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "route": event.route,
        "event": event.event,
        "outcome": event.outcome,
        "actor": event.actor,
        "signed": "true" if event.signed else "false",
        "action": event.action or "",
        "arm": event.arm or "",
        "text": audit_text(event),
        "epoch": str(event.epoch),
        "seq": str(event.seq),
        "state_digest": event.state_digest,
        "command_id": event.command_id or "",
        "reason": event.reason,
        "params": "" if event.params is None else _json(event.params),
        "evidence": _json(event.evidence),
    }
    for name in COLUMNS:
        cell = cells[name]
        yield f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _command(event: AuditEvent) -> str:
    said = " ".join(word for word in (event.action, event.arm) if word)
    if event.params_cut:
        said += " with parameters that are not kept"
    elif event.params:
        params = _json(event.params)
        said += f" {params if len(params) <= _SHOWN_PARAMS else params[:_SHOWN_PARAMS] + '...'}"
    if event.outcome == "refused":
        return f"{said}: refused ({event.reason}): {event.detail}"
    proposal = event.evidence.get("proposal")
    if isinstance(proposal, Mapping) and isinstance(proposal.get("log_evidence"), float):
        said += f", proposed on log evidence {proposal['log_evidence']:.2f}"
    return said


def _verdict(event: AuditEvent) -> str:
    change = event.evidence
    arm: Mapping[str, Any] = change.get("arms", {}).get(event.arm, {})
    said = f"{event.arm} is {change.get('verdict')}, was {change.get('before')}"
    if arm.get("labels"):
        said += f": mean {arm['mean']} of {arm['labels']:,} labels"
    if "against" in arm:
        said += f", log evidence against it {arm['against']:.2f}"
    if "compared_with" in change:
        said += f"; held against {change['compared_with']}"
    return said


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
