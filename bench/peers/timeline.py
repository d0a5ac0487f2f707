"""What the ends of the output topics tell: when the first and the last output became visible.

Pure. Ends are those that a read-committed consumer may read to.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

__all__ = ["Ends", "Moment", "Timing", "reached", "timing"]

Ends: TypeAlias = Mapping[tuple[str, int], int]
"""Topic and partition to the offset behind the last visible record."""


class Moment(Struct, frozen=True, kw_only=True):
    """One look at the broker and the process.

    Attributes
    ----------
    at_s : float
        Monotonic seconds.
    ends : mapping
        Of the rewards and the aggregates topic.
    cpu_s : float
        Processor time of the contender so far.
    """

    at_s: float
    ends: Ends
    cpu_s: float


class Timing(Struct, frozen=True, kw_only=True):
    """How fast a contender was.

    Attributes
    ----------
    events_per_s : float
        Input records (predictions and labels) a second, from the first visible output to the last;
        what the first look found does not count.
    late_events_per_s : float
        The same from the look at which half of the rewards were visible: warm.
    first_s, last_reward_s, last_s : float
        Seconds from start to first reward, last reward, and last output of all.
    cpu_us_per_event : float
        Processor time of the contender between first and last output, microseconds an event.
    """

    events_per_s: float
    late_events_per_s: float
    first_s: float
    last_reward_s: float
    last_s: float
    cpu_us_per_event: float


def reached(moments: Sequence[Moment], last: Ends) -> int:
    """Return the index of the first moment at which given records were visible."""
    for index, moment in enumerate(moments):
        if all(moment.ends.get(at, 0) > offset for at, offset in last.items()):
            return index
    return len(moments) - 1


def timing(
    moments: Sequence[Moment],
    *,
    began_s: float,
    pairs: int,
    rewards: Ends,
    aggregates: Ends,
) -> Timing:
    """Work out how fast a contender was."""
    total = sum(offset + 1 for offset in rewards.values())

    def share(index: int) -> float:
        ends = moments[index].ends
        return sum(min(ends.get(at, 0), offset + 1) for at, offset in rewards.items()) / total

    indices = range(len(moments))
    first = next(i for i in indices if share(i) > 0)
    half = max(first, next((i for i in indices if share(i) >= 0.5), first))
    done = reached(moments, rewards)
    last = max(done, reached(moments, aggregates))

    def rate(begin: int) -> float:
        seconds = moments[last].at_s - moments[begin].at_s
        return 2 * pairs * (1 - share(begin)) / seconds if seconds > 0 else 0.0

    events = 2 * pairs * (1 - share(first))
    cpu_s = moments[last].cpu_s - moments[first].cpu_s
    return Timing(
        events_per_s=rate(first),
        late_events_per_s=rate(half),
        first_s=moments[first].at_s - began_s,
        last_reward_s=moments[done].at_s - began_s,
        last_s=moments[last].at_s - began_s,
        cpu_us_per_event=cpu_s / events * 1e6 if events else 0.0,
    )
