"""Counts the labels that name a session, in the order of their time."""

from collections.abc import Iterator
from typing import NamedTuple

from leverframe.schemas.errors import RecordError
from leverframe.streams.attribution.early import letter_of
from leverframe.streams.attribution.entries import ArrivedLabel, Entry, Session, SessionLabel
from leverframe.streams.attribution.join import Join
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.sessions import shares_of
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
    spoken = [*session.spoken]
    # By time, not by offset: labels that come with the next sweep are later ones then.
    due = [one for one in session.labels if one.label.arrived_ms < until_ms]
    for said in sorted(due, key=lambda one: (one.label.arrived_ms, one.label.offset)):
        if said.request_id and said.request_id not in spoken:
            spoken.append(said.request_id)
        refused = _count(join, session, spoken, said)
        if refused is not None:
            named = said.request_id or session_id
            join.set_aside(letter_of(named, session_id, said.label, source, refused))
    left = [one for one in session.labels if one.label.arrived_ms >= until_ms]
    turns = _turns(session, join)
    return Session(turns, [name for name in spoken if name in turns], left), join.out


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
