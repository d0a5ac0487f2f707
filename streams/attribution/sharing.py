"""Counts the labels that name a session, in the order of their time."""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import structs

from leverframe.schemas.errors import RecordError
from leverframe.streams.attribution.early import letter_of
from leverframe.streams.attribution.entries import ArrivedLabel, Entry, Session, SessionLabel
from leverframe.streams.attribution.join import Join
from leverframe.streams.attribution.measured import measured_by_label
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.sessions import answer_in, shares_of
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
    join = Join(session.turns, routes, source.topic, session_id=session_id)
    spoken, judged = [*session.spoken], {*session.judged}
    # By time, not by offset: labels that come with the next sweep are later ones then.
    due = [one for one in session.labels if one.label.arrived_ms < until_ms]
    for said in sorted(due, key=lambda one: (one.label.arrived_ms, one.label.offset)):
        if said.is_judge:
            _judge(join, session, judged, said)
            continue
        if said.request_id and said.request_id not in spoken:
            spoken.append(said.request_id)
        refused = _count(join, session, spoken, said)
        if refused is not None:
            named = said.request_id or session_id
            join.set_aside(letter_of(named, session_id, said.label, source, refused))
    left = [one for one in session.labels if one.label.arrived_ms >= until_ms]
    turns = _turns(session, join)
    spoken = [name for name in spoken if name in turns]
    return Session(turns, spoken, left, sorted(judged & turns.keys())), join.out


def _judge(join: Join, session: Session, judged: set[str], said: SessionLabel) -> None:
    """Tell learning of a judge's first score of a turn, or of the last one; it is no reward."""
    turns, label = _turns(session, join), said.label
    names = [said.request_id]
    if not said.request_id:
        shares = shares_of(turns, (), structs.replace(label, label=None), join.routes)
        names = [name for name, share in shares if share.metrics is not None]
    for name in names:
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
            judged.add(name)
            measured = measured_by_label(waiting, label.metrics, route.metrics)
            join.out.measured += [] if measured is None else [(waiting.route, measured)]
    if not names:
        join.out.counts["orphan_label", "", ""] += 1


def _count(
    join: Join, session: Session, spoken: list[str], said: SessionLabel
) -> RecordError | None:
    """Count one label; a turn that refuses it stops no other, and the first refusal is told."""
    refused, is_used = None, False
    try:
        for request_id, share in _shares(join, session, spoken, said):
            is_used = True
            try:
                join.take(request_id, share)
            except RecordError as error:
                refused = refused or error
    except RecordError as error:
        return refused or error
    if not is_used:
        join.out.counts["orphan_label", "", ""] += 1
    return refused


def _shares(
    join: Join, session: Session, spoken: list[str], said: SessionLabel
) -> Iterator[tuple[str, ArrivedLabel]]:
    if said.request_id:
        yield said.request_id, said.label
        return
    yield from shares_of(_turns(session, join), spoken, said.label, join.routes)


def _turns(session: Session, join: Join) -> dict[str, Entry]:
    return {**session.turns, **join.out.entries}  # type: ignore[dict-item]  # no session in another
