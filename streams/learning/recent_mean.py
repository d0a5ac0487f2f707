"""The mean of an arm's newest labels, which shows a break that the mean of its life hides.

It is read off the time buckets that windowed policies use: whole numbers, exact under revisions,
the same in a replay, and nothing more to keep.
"""

from typing import Final

from leverframe.policies.units import NANO
from leverframe.schemas.evidence import RecentEvidence
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.guard import DIGITS

__all__ = ["RECENT_LABELS", "recent_evidence"]

RECENT_LABELS: Final = 200
"""At least so many, where the buckets hold them: a mean of rewards 0 and 1 is then within 0.07."""


def recent_evidence(arm: ArmState, bucket_ms: int) -> RecentEvidence | None:
    """Return the evidence of the newest whole buckets that hold enough labels together.

    All buckets where they hold fewer; None where they hold none.

    Examples
    --------
    >>> arm = ArmState(1, 0, None, "champion", 0)
    >>> arm.buckets = {0: [900, 810 * NANO, 0], 1: [150, 60 * NANO, 0], 2: [50, 20 * NANO, 0]}
    >>> recent_evidence(arm, bucket_ms=10_000)
    RecentEvidence(labels=200, mean=0.4, since_ms=10000)
    """
    labels, sum_nano, since_ms = 0, 0, 0
    for index in sorted(arm.buckets, reverse=True):
        count, total, _ = arm.buckets[index]
        labels, sum_nano, since_ms = labels + count, sum_nano + total, index * bucket_ms
        if labels >= RECENT_LABELS:
            break
    if labels <= 0:
        return None
    return RecentEvidence(
        labels=labels, mean=round(sum_nano / NANO / labels, DIGITS), since_ms=since_ms
    )
