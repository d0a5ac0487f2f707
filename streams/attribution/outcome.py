"""What one micro-batch of attribution changes."""

from collections import Counter, defaultdict

import msgspec

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import Kept
from leverframe.streams.attribution.measured import Measurement
from leverframe.streams.attribution.traffic import AgedTally, ServedTally, merge, merge_ages
from leverframe.streams.attribution.units import ServedUnit

__all__ = ["AttributionOutcome"]


class AttributionOutcome(msgspec.Struct, kw_only=True):
    """What one micro-batch changes.

    Attributes
    ----------
    entries : dict of str to Kept
        Changed entries by request id, or session id; untouched ones are not in here.
    rewards : list of Reward
        In the order in which their second halves came.
    dead_letters : list of DeadLetter
        Records that could not be used.
    expiring : dict of int to list of str
        Expiry bucket (ms, start of the bucket) to requests first seen in this micro-batch.
    counts : Counter of (str, str, str)
        ``(what, route, arm)`` to number of events; route and arm are "" where they are not known.
    served : ServedTally
        New predictions by arm, for the closed loop.
    aged : AgedTally
        New predictions and those that got their reward, by when they were made.
    units : list of ServedUnit
        Of new predictions that name their unit.
    measured : list of Measurement
        Of new predictions that were served and shown, and of their first labels, on routes that
        declare metrics.
    """

    entries: dict[str, Kept] = msgspec.field(default_factory=dict)
    rewards: list[Reward] = msgspec.field(default_factory=list)
    dead_letters: list[DeadLetter] = msgspec.field(default_factory=list)
    expiring: defaultdict[int, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    counts: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    served: ServedTally = msgspec.field(default_factory=dict)
    aged: AgedTally = msgspec.field(default_factory=dict)
    units: list[ServedUnit] = msgspec.field(default_factory=list)
    measured: list[Measurement] = msgspec.field(default_factory=list)

    def add(self, other: "AttributionOutcome") -> None:
        """Add what came of the turns of a session, all but entries and when they expire."""
        self.rewards += other.rewards
        self.dead_letters += other.dead_letters
        self.counts.update(other.counts)
        self.units += other.units
        self.measured += other.measured
        merge(self.served, other.served)
        merge_ages(self.aged, other.aged)
