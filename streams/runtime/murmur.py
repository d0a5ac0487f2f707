"""Partitions of many keys at once: murmur2 as Java's producer has it, on arrays.

One key costs 14 microseconds in Python, of a micro-batch 0.1 to 1.6: keys of one length are hashed
together.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

__all__ = ["partitions_of"]

_M: Final = np.uint32(0x5BD1E995)
_SEED: Final = 0x9747B28C
_R: Final = np.uint32(24)
_13: Final = np.uint32(13)
_15: Final = np.uint32(15)
_POSITIVE: Final = np.uint32(0x7FFFFFFF)


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition that Java's and aiokafka's producers choose for each key.

    Examples
    --------
    >>> from leverframe.streams.runtime.kafka import partition_of
    >>> keys = [b"", b"a", b"request-17", b"f1f7a8e4-9d7e-4c53-9d0e-000000000001"]
    >>> partitions_of(keys, 12) == [partition_of(key, 12) for key in keys]
    True
    """
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        by_length[len(key)].append(at)
    found = np.empty(len(keys), dtype=np.int64)
    for length, places in by_length.items():
        joined = b"".join([keys[at] for at in places])
        found[places] = (_hashes(joined, len(places), length) & _POSITIVE) % partitions
    partitions_found: list[int] = found.tolist()
    return partitions_found


def _hashes(joined: bytes, count: int, length: int) -> Any:
    """Hash keys of one length, which lie one behind the other."""
    raw = np.frombuffer(joined, dtype=np.uint8).reshape(count, length)
    whole = length // 4
    words = np.ascontiguousarray(raw[:, : whole * 4]).view("<u4").reshape(count, whole)
    h = np.full(count, (_SEED ^ length) & 0xFFFFFFFF, dtype=np.uint32)
    for at in range(whole):
        k = words[:, at] * _M
        k ^= k >> _R
        k *= _M
        h *= _M
        h ^= k
    rest = raw[:, whole * 4 :].astype(np.uint32)
    for at in range(rest.shape[1] - 1, -1, -1):
        h ^= rest[:, at] << np.uint32(8 * at)
    if rest.shape[1]:
        h *= _M
    h ^= h >> _13
    h *= _M
    h ^= h >> _15
    return h
