"""Counts the labels that name a session, in the order of their time."""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from msgspec import structs

from leverframe.schemas.errors import RecordError
from leverframe.streams.attribution.early import letter_of
from leverframe.streams.attribution.entries import ArrivedLabel, Session, SessionLabel
from leverframe.streams.attribution.join import Join
from leverframe.streams.attribution.measured import measured_by_label
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.sessions import answer_in, shares_of, with_turns
from leverframe.streams.routes.route import RouteTable

__all__ = ["LabelSource", "share_labels"]


class LabelSource(NamedTuple):
    """Where labels came from: their topic, and the partition."""

    topic: str = "ground-truth"
    partition: int = 0


def share_labels(
    session_id: str, session: Session, until_ms: int, routes: RouteTable, source: LabelSource
) -> tuple[Session, AttributionOutcome]:
    """Return a session after all labels before ``until_ms``, and what came of them.

    A turn's own label stands before those of the session, whichever came first.
    """
    out, due = AttributionOutcome(), list[SessionLabel]()
    left: list[SessionLabel] = []
    for one in session.labels:
        (due if one.label.arrived_ms < until_ms else left).append(one)
    after = structs.replace(session, labels=left)
    # By time, not by offset: labels that come with the next sweep are later ones then.
    for said in sorted(due, key=lambda one: (one.label.arrived_ms, one.label.offset)):
        join = Join(after.turns, routes, source.topic, session_id=session_id)
        after, refused = (_judge if said.is_judge else _count)(join, after, said)
        if refused is not None:
            named = said.request_id or session_id
            join.set_aside(letter_of(named, session_id, said.label, source, refused))
        out.add(join.out)
    return after, out


_Counted: TypeAlias = tuple[Session, RecordError | None]


def _count(join: Join, session: Session, said: SessionLabel) -> _Counted:
    """Count one label; a turn that refuses it stops no other, and the first refusal is told."""
    refused, is_used = None, False
    try:
        for request_id, share in _shares(join, session, said):
            is_used = True
            try:
                join.take(request_id, share)
            except RecordError as error:
                refused = refused or error
    except RecordError as error:
        refused = refused or error
    if not is_used and refused is None:
        join.out.counts["orphan_label", "", ""] += 1
    try:
        after = with_turns(session, join.out.entries)
    except RecordError as limit:
        join.out = AttributionOutcome()
        return session, limit
    if said.request_id in after.turns:
        spoken = {**after.spoken, said.request_id: said.label.arrived_ms}
        after = structs.replace(after, spoken=spoken)
    return after, refused


def _judge(join: Join, session: Session, said: SessionLabel) -> _Counted:
    """Tell learning of a judge's first score of a turn, or of the last one; it is no reward."""
    turns, label, judged = session.turns, said.label, [*session.judged]
    names = [said.request_id]
    if not said.request_id:
        shares = shares_of(turns, {}, structs.replace(label, label=None), join.routes)
        names = [name for name, share in shares if share.metrics is not None]
    for name in names or [""]:
        waiting = answer_in(turns[name]) if name in turns else None
        route = None if waiting is None else join.routes.get(waiting.route)
        if waiting is None or route is None:
            join.out.counts["orphan_label", "", ""] += 1
            continue
        event = "judged"
        if label.arrived_ms > waiting.expires_ms:
            event = "late_label"
        elif name in judged:
            event = "duplicate_label"
        join.out.counts[event, waiting.route, waiting.arm] += 1
        if event == "judged":
            judged.append(name)
            measured = measured_by_label(waiting, label.metrics, route.metrics)
            join.out.measured += [] if measured is None else [(waiting.route, measured)]
    return structs.replace(session, judged=judged), None


def _shares(join: Join, session: Session, said: SessionLabel) -> Iterable[tuple[str, ArrivedLabel]]:
    if said.request_id:
        return [(said.request_id, said.label)]
    return shares_of(session.turns, session.spoken, said.label, join.routes)
