"""How many requests a second of a route count: a bucket of permits that refills with record time.

A request is judged once, when its first prediction is read, so before anybody knows its label: what
is left out says nothing of how good an arm is. It is kept as one whose answer nobody saw.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import EarlyLabel, Entry, accounts_of, prediction_of

__all__ = ["Bucket", "Quota", "refilled"]

_BURST_S: Final = 10.0
_REWOUND_MS: Final = 60_000


class Bucket(Struct, frozen=True):
    """What is left of a route's quota.

    Attributes
    ----------
    permits : float
        Requests that may come at once.
    at_ms : int
        Time up to which it was refilled.
    """

    permits: float
    at_ms: int


def refilled(bucket: Bucket | None, per_second: float, at_ms: int) -> Bucket:
    """Return a bucket at a later time; it holds ten seconds' permits at most, and at least one.

    A clock that lags behind changes nothing; one that goes back by more than a minute (older
    records are read) begins anew there, as full as it is.

    >>> refilled(None, 2.0, 1000)
    Bucket(permits=20.0, at_ms=1000)
    >>> refilled(Bucket(permits=0.0, at_ms=1000), 2.0, 1500)
    Bucket(permits=1.0, at_ms=1500)
    """
    most = max(1.0, per_second * _BURST_S)
    if bucket is None:
        return Bucket(most, at_ms)
    if at_ms < bucket.at_ms - _REWOUND_MS:
        return Bucket(min(most, bucket.permits), at_ms)
    passed_ms = max(0, at_ms - bucket.at_ms)
    permits = min(most, bucket.permits + per_second * passed_ms / 1000)
    return Bucket(permits, bucket.at_ms + passed_ms)


class Quota:
    """The quotas of one micro-batch of a partition.

    Parameters
    ----------
    buckets : mapping of str to Bucket
        By route, as the micro-batch before left them; none yet: full.
    partitions : int
        That share a route's quota equally.
    now_ms : int
        No record refills further ahead than this, whatever its producer's clock says.

    Attributes
    ----------
    buckets : dict of str to Bucket
        As this micro-batch leaves them.
    """

    def __init__(self, buckets: Mapping[str, Bucket], partitions: int, now_ms: int) -> None:
        self.buckets = dict(buckets)
        self._partitions = partitions
        self._now_ms = now_ms

    def judged(
        self, prediction: Prediction, entry: Entry | None, per_second: float, at_ms: int
    ) -> tuple[Prediction, bool]:
        """Return a prediction as it counts, and whether its request was refused just now.

        One more answer to a request, and a repetition, fare as the first one did.
        """
        if entry is None or isinstance(entry, EarlyLabel):
            counts = self._take(prediction.route, per_second, at_ms)
            is_new = True
        else:
            counts, is_new = prediction_of(accounts_of(entry)[0]).shown, False
        if counts:
            return prediction, False
        return structs.replace(prediction, shown=False), is_new

    def _take(self, route: str, per_second: float, at_ms: int) -> bool:
        share = per_second / self._partitions
        bucket = refilled(self.buckets.get(route), share, min(at_ms, self._now_ms))
        counts = bucket.permits >= 1
        left = bucket.permits - 1 if counts else bucket.permits
        self.buckets[route] = Bucket(left, bucket.at_ms)
        return counts
