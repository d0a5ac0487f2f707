"""How the join of a route fares: what came, what met, what waits, what never came.

Told by attribution about once a second and kept beside what is decided, never in the digest; a
worker that is killed loses a second of it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct, field

from leverframe.schemas.causes import PartitionerMismatch
from leverframe.schemas.traffic import (
    CHECKED,
    MISPLACED,
    NEARBY_CHECKED,
    NEARBY_MISPLACED,
    NEARBY_ORPHAN_LABELS,
    OVER_QUOTA,
    Traffic,
)
from leverframe.streams.health.ages import Ages

__all__ = ["JOIN_COUNTS", "JoinHealth"]

JOIN_COUNTS: Final = (
    "prediction",
    "label",
    "labelled",
    "duplicate_prediction",
    "duplicate_label",
    "late_prediction",
    "late_label",
    "revision",
    "withdrawal",
    "part_without_effect",
    "expiry",
    "matured",
    "not_shown",
    "orphan_prediction",
    "closed",
    "unlike_types",
    "over_quota",
)
"""What is counted of each arm; the ledger keeps the counts in this order, so add at the end."""
_MOST: Final = 2**62  # sums stay what the ledger can hold
_AT: Final = {what: at for at, what in enumerate(JOIN_COUNTS)}
_STRANGERS: Final = 32
_BLOCK: Final = 200
_ORPHAN_SHARE: Final = 0.3
_ENOUGH_CHECKED: Final = 100
_CURE: Final = "run leverframe doctor: it says which producer hashes keys differently"


class JoinHealth(Struct, array_like=True):
    """Counts since the route began.

    Attributes
    ----------
    totals : dict of str to int
        Of the route, by ``JOIN_COUNTS``; and ``nearby_orphan_label``: labels on the same partitions
        whose prediction never came, of any route.
    arms : dict of str to list of int
        Of each registered arm and of a few that are not yet, in the order of ``JOIN_COUNTS``.
    ages : dict of str to Ages
        Predictions by age, of each registered arm and of a few that are not yet.
    newest_ms : int
        Stream time.
    block : list of int
        Since the orphans were last judged: predictions that never got a label, predictions that
        did, and labels nearby that never met a prediction.
    placed : list of int
        On routes with a default reward, since then: lonely predictions that were checked, those of
        them in a partition that is not their key's, and the same of labels nearby.
    over_quota_ms : int
        Stream time at which requests were last left out for ``max_requests_per_s``; 0: never.
    """

    totals: dict[str, int] = field(default_factory=dict)
    arms: dict[str, list[int]] = field(default_factory=dict)
    ages: dict[str, Ages] = field(default_factory=dict)
    newest_ms: int = 0
    block: list[int] = field(default_factory=lambda: [0, 0, 0])
    placed: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    over_quota_ms: int = 0

    def hear(
        self,
        traffic: Traffic,
        registered: Collection[str],
        window_ms: int,
        *,
        has_default: bool = False,
    ) -> PartitionerMismatch | None:
        """Take in what attribution tells of about a second.

        Of arms that are not registered only a few are kept beside the totals. Returns evidence that
        labels and predictions lie in different partitions; ``has_default``: predictions without a
        label get the route's default reward.
        """
        self.newest_ms = max(self.newest_ms, traffic.until_ms)
        self._count_all(traffic.joins)
        for arm, counts in traffic.arms.items():
            if self._is_kept(arm, registered, self.arms):
                self._count(arm, counts)
        for aged in traffic.aged:
            if self._is_kept(aged.arm, registered, self.ages):
                ages = self.ages.setdefault(aged.arm, Ages())
                ages.add(aged.from_ms, aged.predicted, aged.settled)
        for ages in self.ages.values():
            ages.grow_older(self.newest_ms, window_ms)
        self.ages = {arm: ages for arm, ages in self.ages.items() if ages.bins or arm in registered}
        return self._misplaced(traffic) if has_default else self._orphans(traffic)

    def _count_all(self, joins: Mapping[str, int]) -> None:
        for what, count in joins.items():
            if what in _AT or what == NEARBY_ORPHAN_LABELS:
                self.totals[what] = min(_MOST, self.totals.get(what, 0) + count)
            if what == OVER_QUOTA:
                self.over_quota_ms = self.newest_ms

    @staticmethod
    def _is_kept(arm: str, registered: Collection[str], kept: Collection[str]) -> bool:
        """Of some strangers too: an arm is registered by its first reward, and served before."""
        return arm in registered or arm in kept or len(kept) < len(registered) + _STRANGERS

    def _count(self, arm: str, counts: Mapping[str, int]) -> None:
        kept = self.arms.setdefault(arm, [])
        kept += [0] * (len(JOIN_COUNTS) - len(kept))
        for what, count in counts.items():
            if what in _AT:
                kept[_AT[what]] = min(_MOST, kept[_AT[what]] + count)

    def _orphans(self, traffic: Traffic) -> PartitionerMismatch | None:
        """Halves that both stay alone: an outage of labels leaves orphans on one side only."""
        counted = ("orphan_prediction", "labelled", NEARBY_ORPHAN_LABELS)
        joins = traffic.joins
        self.block = _sums(self.block, [joins.get(what, 0) for what in counted])
        predictions, labelled, labels = self.block
        if predictions + labelled < _BLOCK:
            return None
        self.block = [0, 0, 0]
        share = predictions / (predictions + labelled)
        if share < _ORPHAN_SHARE or 2 * labels < predictions:
            return None
        return PartitionerMismatch(
            orphan_predictions=predictions,
            orphan_labels=labels,
            orphan_share=round(share, 4),
            cure=_CURE,
        )

    def _misplaced(self, traffic: Traffic) -> PartitionerMismatch | None:
        """Where no label is the rule (no click), labels that stay alone must prove themselves.

        One side lies in other partitions than its keys', and the other one does not. Labels of
        requests that are not ours, or that come after the window, lie as predictions do.
        """
        joins = traffic.joins
        alone = joins.get("expiry", 0) + joins.get("orphan_prediction", 0)
        # A label after the default was counted is a revision, and has met its prediction.
        met = joins.get("labelled", 0) + joins.get("revision", 0)
        self.block = _sums(self.block, [alone, met, joins.get(NEARBY_ORPHAN_LABELS, 0)])
        counted = (CHECKED, MISPLACED, NEARBY_CHECKED, NEARBY_MISPLACED)
        self.placed = _sums(self.placed, [joins.get(what, 0) for what in counted])
        checked, misplaced, checked_labels, misplaced_labels = self.placed
        if min(checked, checked_labels) < _ENOUGH_CHECKED:
            return None
        predictions, labelled, labels = self.block
        self.block, self.placed = [0, 0, 0], [0, 0, 0, 0]
        apart = abs(misplaced / checked - misplaced_labels / checked_labels)
        label_share = labels / max(1, labels + labelled)
        if min(apart, label_share) < _ORPHAN_SHARE:
            return None
        return PartitionerMismatch(
            orphan_predictions=predictions,
            orphan_labels=labels,
            orphan_share=round(predictions / max(1, predictions + labelled), 4),
            orphan_label_share=round(label_share, 4),
            cure=_CURE,
        )

    def summary(self) -> dict[str, Any]:
        """Return the totals, and ``coverage``: the share of predictions that got a label."""
        known = self.totals | {"coverage": _coverage(self.totals)}
        if self.over_quota_ms:
            known["over_quota_ms"] = self.over_quota_ms
        return known | self._waiting(list(self.ages.values()))

    def arm_summary(self, arm: str) -> dict[str, Any]:
        """Return the same of one arm: counts that are not 0, coverage, and what waits."""
        counts = dict(zip(JOIN_COUNTS, self.arms.get(arm, []), strict=False))
        known = {what: count for what, count in counts.items() if count}
        return known | {"coverage": _coverage(counts)} | self._waiting([self.ages.get(arm, Ages())])

    def _waiting(self, ages: list[Ages]) -> dict[str, Any]:
        """How many predictions wait for their reward, and for how long the oldest does."""
        counts, since = zip(*(arm.waiting() for arm in ages), strict=True) if ages else ((), ())
        oldest = [at for at in since if at is not None]
        age_ms = max(0, self.newest_ms - min(oldest)) if oldest else None
        return {"waiting": sum(counts), "oldest_waiting_ms": age_ms}


def _sums(kept: list[int], more: list[int]) -> list[int]:
    return [min(_MOST, one + other) for one, other in zip(kept, more, strict=True)]


def _coverage(counts: Mapping[str, int]) -> float | None:
    """Of the predictions that count; those beyond the quota wait for no label."""
    judged = counts.get("prediction", 0) - counts.get(OVER_QUOTA, 0)
    return _share(counts.get("labelled", 0), max(0, judged))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
