"""Checks whether halves that stayed alone lie where Kafka's default partitioner puts their key.

A route with a default reward expects most predictions to stay alone (no click), and labels may come
of requests that are none of ours. Which side lies in the wrong partitions tells those from a
producer that hashes keys differently.
"""

from collections.abc import Callable, Mapping
from typing import Final

from leverframe.schemas.traffic import CHECKED, MISPLACED, NEARBY_CHECKED, NEARBY_MISPLACED
from leverframe.streams.attribution.entries import EarlyLabel, Kept, Waiting
from leverframe.streams.attribution.expiry import Sweep

__all__ = ["MOST_CHECKED", "check_placement"]

MOST_CHECKED: Final = 50
"""Predictions, and labels, of each portion of a sweep: murmur2 in Python takes a few us a key."""


def check_placement(
    entries: Mapping[str, Kept | None], swept: Sweep, is_misplaced: Callable[[str], bool]
) -> None:
    """Count in ``swept`` how many of a few of its lonely halves lie in the wrong partition.

    ``entries`` are those that were swept.
    """
    predictions = labels = 0
    for request_id in (*swept.expired, *swept.changed):
        entry = entries[request_id]
        if isinstance(entry, Waiting) and predictions < MOST_CHECKED:
            predictions += 1
            keys = (CHECKED, entry.route, entry.arm), (MISPLACED, entry.route, entry.arm)
        elif isinstance(entry, EarlyLabel) and labels < MOST_CHECKED:
            labels += 1
            keys = (NEARBY_CHECKED, "", ""), (NEARBY_MISPLACED, "", "")
        else:
            continue
        swept.counts[keys[0]] += 1
        if is_misplaced(request_id):
            swept.counts[keys[1]] += 1
