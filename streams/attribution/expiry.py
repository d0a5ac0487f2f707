"""Expiry: which entries' windows have ended, from an index of time buckets in the ledger itself.

An index key is ``NUL e <bucket start, 8 bytes> <input topic's first letter and offset> <number of
the first id, 4 bytes>``, its value up to ``IDS_IN_ONE`` of the request ids first seen in one
micro-batch, so a sweep reads as much as it deletes, in portions as small as it likes.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.account import mature, matures_at_ms
from leverframe.streams.attribution.answers import event_of, moved, shadows_first, with_others
from leverframe.streams.attribution.entries import (
    Attributed,
    EarlyLabel,
    Entry,
    Kept,
    Session,
    Shared,
    Waiting,
    accounts_of,
    prediction_of,
)
from leverframe.streams.attribution.join import EXPIRY_BUCKET_MS
from leverframe.streams.attribution.measured import Measurement
from leverframe.streams.attribution.sharing import LabelSource, share_labels
from leverframe.streams.attribution.traffic import AgedTally, merge_ages, note_settled
from leverframe.streams.routes.route import RouteTable

__all__ = [
    "EXPIRY_END",
    "EXPIRY_PREFIX",
    "IDS_IN_ONE",
    "Sweep",
    "bucket_of",
    "decode_ids",
    "index_changes",
    "is_due",
    "sweep",
]

EXPIRY_PREFIX: Final = b"\x00e"
EXPIRY_END: Final = b"\x00f"
IDS_IN_ONE: Final = 500
_KEY: Final = struct.Struct(">2sQ")
_FIRST: Final = struct.Struct(">I")


def index_changes(
    expiring: Mapping[int, Iterable[str]], unique: bytes
) -> dict[bytes, bytes | None]:
    """Return the index entries of one micro-batch."""
    changes: dict[bytes, bytes | None] = {}
    for bucket, requests in expiring.items():
        ids, key = list(requests), _KEY.pack(EXPIRY_PREFIX, bucket) + unique
        for at in range(0, len(ids), IDS_IN_ONE):
            # Also where one entry is enough: a sweep takes such a key as its own unique part.
            changes[key + _FIRST.pack(at)] = msgspec.msgpack.encode(ids[at : at + IDS_IN_ONE])
    return changes


decode_ids: Final = msgspec.msgpack.Decoder(list[str]).decode


def bucket_of(key: bytes) -> int:
    """Return the bucket of an index key.

    Its start, ms since the epoch.
    """
    bucket: int = _KEY.unpack_from(key)[1]
    return bucket


def is_due(key: bytes, now_ms: int) -> bool:
    """Return whether all windows of an index key's bucket have ended.

    False in the midst of the bucket: half of it would have to be indexed anew.
    """
    return bucket_of(key) + EXPIRY_BUCKET_MS <= now_ms


NO_SOURCE: Final = LabelSource()


class Sweep(msgspec.Struct, kw_only=True):
    """What a sweep changes.

    Attributes
    ----------
    expired : list of str
        Requests whose entry is deleted.
    expiring : dict of int to list of str
        Those whose window grew since they were indexed, by their new bucket.
    changed : dict of str to Kept
        Requests that count their route's default reward from now on; sessions that go on.
    rewards : list of Reward
        Default rewards, and those of labels that were shared in a session.
    counts : Counter of (str, str, str)
        Orphans, defaults and closed accounts, by ``(what, route, arm)``.
    aged : AgedTally
        Predictions that wait no more, by when they were made.
    dead_letters : list of DeadLetter
        Labels of sessions that a turn could not use.
    measured : list of Measurement
        What came with labels of sessions.
    """

    expired: list[str] = msgspec.field(default_factory=list)
    expiring: dict[int, list[str]] = msgspec.field(default_factory=dict)
    changed: dict[str, Kept] = msgspec.field(default_factory=dict)
    rewards: list[Reward] = msgspec.field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    aged: AgedTally = msgspec.field(default_factory=dict)
    dead_letters: list[DeadLetter] = msgspec.field(default_factory=list)
    measured: list[Measurement] = msgspec.field(default_factory=list)


def sweep(
    entries: Mapping[str, Kept | None],
    now_ms: int,
    routes: RouteTable,
    source: LabelSource = NO_SOURCE,
) -> Sweep:
    """Decide which of the indexed entries have expired, and share labels of sessions.

    ``source`` is where those labels came from, for their dead letters.
    """
    out = Sweep()
    for request_id, found in entries.items():
        if found is None:
            continue
        if isinstance(found, Session):
            _sweep_session(request_id, found, now_ms, routes, source, out)
            continue
        entry: Entry = found
        if not isinstance(found, EarlyLabel):
            entry = _matured(request_id, found, now_ms, routes, out)
        due_ms = _due_ms(entry, now_ms, routes)
        if due_ms is not None:
            bucket = due_ms - due_ms % EXPIRY_BUCKET_MS
            out.expiring.setdefault(bucket, []).append(request_id)
            continue
        out.expired.append(request_id)
        out.changed.pop(request_id, None)
        _note_end(entry, out)
    return out


def _note_end(entry: Entry, out: Sweep) -> None:
    """Count how a request ends."""
    if isinstance(entry, EarlyLabel):
        out.counts["orphan_label", "", ""] += 1
        return
    for account in accounts_of(entry):
        waiting = prediction_of(account)
        what = "closed" if isinstance(account, Attributed) else "orphan_prediction"
        out.counts[event_of(what, waiting), waiting.route, waiting.arm] += 1
        if isinstance(account, Waiting):
            note_settled(out.aged, account)


def _sweep_session(
    session_id: str,
    session: Session,
    now_ms: int,
    routes: RouteTable,
    source: LabelSource,
    out: Sweep,
) -> None:
    """Count the labels whose time has passed, then look at every turn by itself."""
    after, shared = share_labels(session_id, session, now_ms, routes, source)
    inner = sweep(after.turns, now_ms, routes)
    for one in (shared, inner):
        out.rewards += one.rewards
        out.dead_letters += one.dead_letters
        out.measured += one.measured
        out.counts.update(one.counts)
        merge_ages(out.aged, one.aged)
    turns: dict[str, Entry] = {**after.turns, **inner.changed}  # type: ignore[dict-item]
    for request_id in inner.expired:
        del turns[request_id]
    if not turns and not after.labels:
        out.expired.append(session_id)
        return
    spoken = {name: at_ms for name, at_ms in after.spoken.items() if name in turns}
    judged = [name for name in after.judged if name in turns]
    out.changed[session_id] = Session(turns, spoken, after.labels, judged)
    times = (one.label.arrived_ms for one in after.labels)
    buckets = [*inner.expiring, *(at_ms - at_ms % EXPIRY_BUCKET_MS for at_ms in times)]
    out.expiring.setdefault(min(buckets), []).append(session_id)


def _due_ms(entry: Entry, now_ms: int, routes: RouteTable) -> int | None:
    """When the sweep is to look again; None once every window of an entry has ended."""
    if isinstance(entry, EarlyLabel):
        return entry.expires_ms if entry.expires_ms >= now_ms else None
    dues = []
    for account in accounts_of(entry):
        waiting = prediction_of(account)
        if waiting.expires_ms < now_ms:
            continue
        route = routes.get(waiting.route)
        default_ms = None if route is None else matures_at_ms(waiting, route)
        is_ahead = default_ms is not None and default_ms >= now_ms
        dues.append(default_ms if default_ms is not None and is_ahead else waiting.expires_ms)
    return min(dues, default=None)


def _matured(
    request_id: str,
    entry: Waiting | Attributed | Shared,
    now_ms: int,
    routes: RouteTable,
    out: Sweep,
) -> Waiting | Attributed | Shared:
    """Tell what a request counts at the time of its default; the account stays open after it."""
    after, accounts = entry, accounts_of(entry)
    for at in shadows_first(accounts):
        account = accounts[at]
        waiting = prediction_of(account)
        route = routes.get(waiting.route)
        settled = None if route is None else mature(request_id, account, route, now_ms)
        if settled is None:
            continue
        reward = settled.reward
        if isinstance(after, Shared):
            after = moved(after, at, settled.entry)
            reward = with_others(reward, after.accounts, at)
        else:
            after = settled.entry
        out.changed[request_id] = after
        out.rewards.append(reward)
        if isinstance(account, Waiting):
            note_settled(out.aged, account)
        what = "expiry" if isinstance(account, Waiting) else "matured"
        out.counts[event_of(what, waiting), waiting.route, waiting.arm] += 1
    return after
