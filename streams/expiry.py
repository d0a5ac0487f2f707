"""Expiry: which entries' windows have ended, from an index of time buckets in the ledger itself.

An index key is ``NUL e <bucket start, 8 bytes> <input topic's first letter and offset>``, its value
the request ids first seen in one micro-batch, so a sweep reads as much as it deletes.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from streams.attribution import EXPIRY_BUCKET_MS
from streams.entries import Attributed, EarlyLabel, Entry

__all__ = [
    "EXPIRY_END",
    "EXPIRY_PREFIX",
    "Sweep",
    "bucket_of",
    "decode_ids",
    "index_changes",
    "sweep",
]

EXPIRY_PREFIX: Final = b"\x00e"
EXPIRY_END: Final = b"\x00f"
_KEY: Final = struct.Struct(">2sQ")


def index_changes(
    expiring: Mapping[int, Iterable[str]], unique: bytes
) -> dict[bytes, bytes | None]:
    """Return the index entries of one micro-batch.

    Parameters
    ----------
    expiring : mapping of int to iterable of str
        Expiry bucket (its start, ms) to request ids.
    unique : bytes
        Different for every micro-batch of the partition.

    Returns
    -------
    dict of bytes to bytes
        Ledger entries.
    """
    return {
        _KEY.pack(EXPIRY_PREFIX, bucket) + unique: msgspec.msgpack.encode(list(ids))
        for bucket, ids in expiring.items()
    }


decode_ids: Final = msgspec.msgpack.Decoder(list[str]).decode


def bucket_of(key: bytes) -> int:
    """Return the bucket of an index key.

    Parameters
    ----------
    key : bytes
        Begins with ``EXPIRY_PREFIX``.

    Returns
    -------
    int
        Its start, ms since the epoch.
    """
    bucket: int = _KEY.unpack_from(key)[1]
    return bucket


class Sweep(msgspec.Struct, kw_only=True):
    """What a sweep changes.

    Attributes
    ----------
    expired : list of str
        Requests whose entry is deleted.
    expiring : dict of int to list of str
        Those whose window grew since they were indexed, by their new bucket.
    counts : Counter of (str, str)
        Orphans and closed accounts, by ``(what, route)``.
    """

    expired: list[str] = msgspec.field(default_factory=list)
    expiring: dict[int, list[str]] = msgspec.field(default_factory=dict)
    counts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)


def sweep(entries: Mapping[str, Entry | None], now_ms: int) -> Sweep:
    """Decide which of the indexed entries have expired.

    Parameters
    ----------
    entries : mapping of str to Entry or None
        Requests of the buckets that are due; None where the entry is gone already.
    now_ms : int
        Stream time of the partition.

    Returns
    -------
    Sweep
        For one transaction.
    """
    out = Sweep()
    for request_id, entry in entries.items():
        if entry is None:
            continue
        waiting = entry.prediction if isinstance(entry, Attributed) else entry
        if waiting.expires_ms >= now_ms:
            bucket = waiting.expires_ms - waiting.expires_ms % EXPIRY_BUCKET_MS
            out.expiring.setdefault(bucket, []).append(request_id)
            continue
        out.expired.append(request_id)
        if isinstance(entry, EarlyLabel):
            out.counts["orphan_label", ""] += 1
        elif isinstance(entry, Attributed):
            out.counts["closed", waiting.route] += 1  # type: ignore[union-attr] # a Waiting
        else:
            out.counts["orphan_prediction", entry.route] += 1
    return out
