"""Do the serving systems do what was published? Acknowledgements and the observed mix say so.

Neither moves weights, and neither is part of the state digest: what is found is said in control
messages and metrics, for people. Acknowledgements come by wall time, traffic in portions of about
a second, and both may be lost without harm.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from msgspec import UNSET, Struct, field, structs

from leverframe.policies.guard.capital import Capital, grow, in_micro, new_capital, wealth_of
from leverframe.policies.guard.mix import MOST_MIX_UNITS, ODDS_RATIOS, log_growth_of_mix
from leverframe.policies.guard.seen import SeenUnits, note_unit, seen_in
from leverframe.policies.guard.verdict import arm_alpha
from leverframe.schemas.causes import (
    Alarm,
    PartitionerMismatch,
    RollbackNotEffective,
    Version,
    WeightsNotFollowed,
    wire_form,
)
from leverframe.schemas.control import ControlAck
from leverframe.schemas.traffic import ServedCount, Traffic
from leverframe.streams.health.replicas import Stray, Watching, asleep, watch
from leverframe.streams.routes.route import Route

__all__ = ["ClosedLoop", "RaisedAlarm", "loop_summary"]

_PUBLISHED: Final = 4
_REPLICAS: Final = 256
_NAMED: Final = 32  # of those that serve what was rolled back
_FORGOTTEN_MS: Final = 180_000
_ALARM_MS: Final = 60_000
_REMEMBERED_ROLLBACKS: Final = 16
_MOST: Final = 2**62  # sums stay what the ledger can hold
OTHERS: Final = "(not registered)"

Order = tuple[int, int]
"""Epoch and seq of a control message."""


class Published(Struct, array_like=True, frozen=True):
    """Weights, and the first message that carried them."""

    epoch: int
    seq: int
    weights: dict[str, float]


Grouped: TypeAlias = tuple[Published, Counter[str], Counter[str], dict[str, Counter[str]]]
"""Weights, predictions by arm, and draws by arm: of all, and of each replica that is named."""


class RolledBack(Struct, array_like=True):
    """An arm that must have no traffic, since when, and what it got after the grace time.

    ``served_by`` tells by which replicas, of those that are named.
    """

    epoch: int
    seq: int
    at_ms: int
    served_after: int = 0
    served_by: dict[str, int] = field(default_factory=dict)


class RaisedAlarm(Struct, array_like=True):
    """What is wrong, and since when.

    Attributes
    ----------
    since_ms : int
        Stream time at which it was raised.
    newest_ms : int
        Stream time of the newest evidence.
    evidence : dict
        Newest: the fields of the alarm's cause.
    """

    since_ms: int
    newest_ms: int
    evidence: dict[str, Any]


class ClosedLoop(Struct, array_like=True):
    """What is known of those who follow a route.

    Attributes
    ----------
    published : list of Published
        The newest weights, newest last.
    replicas : dict of str to list of int
        Epoch, seq and time of each replica's newest acknowledgement.
    rolled_back : dict of str to RolledBack
        Arms to be watched.
    off : list of str
        All arms that were rolled back or retired.
    mix : dict of str to Capital
        By arm, bets on odds that differ from the published ones.
    served : dict of str to int
        Predictions by arm under the newest weights.
    alarms : dict of str to RaisedAlarm
        By name, of ``schemas.alarms``.
    units : SeenUnits
        Whom the mix test has counted in this period, where predictions name their unit.
    labelled_ms : int
        Stream time of the newest traffic in which labels came; 0 before there was any.
    unlabelled : int
        Predictions since then.
    watching : Watching
        The mix test of each replica, where predictions name theirs.
    """

    published: list[Published] = field(default_factory=list)
    replicas: dict[str, list[int]] = field(default_factory=dict)
    rolled_back: dict[str, RolledBack] = field(default_factory=dict)
    off: list[str] = field(default_factory=list)
    mix: dict[str, Capital] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, RaisedAlarm] = field(default_factory=dict)
    units: SeenUnits = field(default_factory=SeenUnits)
    labelled_ms: int = 0
    unlabelled: int = 0
    watching: Watching = field(default_factory=lambda: Watching({}))

    def publish(
        self, version: Order, weights: dict[str, float], off: list[str], at_ms: int
    ) -> None:
        """Note what a control message says; ``off`` are arms that were rolled back or retired."""
        known = {arm: gone for arm, gone in self.rolled_back.items() if arm in off}
        known |= {arm: RolledBack(*version, at_ms) for arm in off if arm not in self.off}
        self.off = list(off)
        self.rolled_back = dict(list(known.items())[-_REMEMBERED_ROLLBACKS:])
        if self.published and weights == self.published[-1].weights:
            return
        self.published = [*self.published[1 - _PUBLISHED :], Published(*version, weights)]
        self.served = {}

    def hear(self, ack: ControlAck, newest: Order, now_ms: int) -> None:
        """Note an acknowledgement, at its record time: replicas' clocks are not trusted.

        One that is older than what is known changes nothing, and nobody can have applied a message
        later than the newest.
        """
        known = self.replicas.pop(ack.replica, [-1, -1, 0])
        version = max((known[0], known[1]), min((ack.epoch, ack.seq), newest))
        self.replicas[ack.replica] = [*version, max(known[2], now_ms)]
        horizon_ms = now_ms - _FORGOTTEN_MS
        self.replicas = {
            name: seen
            for name, seen in list(self.replicas.items())[-_REPLICAS:]
            if seen[2] >= horizon_ms
        }

    def see(
        self,
        traffic: Traffic,
        route: Route,
        arms: dict[str, int],
        mismatch: PartitionerMismatch | None = None,
    ) -> dict[str, Alarm]:
        """Compare what was served in about a second with what was published.

        ``arms`` gives each arm's number of registration; whoever else was served counts as one arm,
        ``OTHERS``. Returns the alarms that were raised just now.
        """
        found: dict[str, Alarm | None] = {
            "rollback_not_effective": self._ineffective(traffic, route),
            "weights_not_followed": self._mismatch(traffic, route, arms),
            "suspected_partitioner_mismatch": mismatch,
        }
        return self.note(found, traffic.until_ms)

    def note(self, found: Mapping[str, Alarm | None], now_ms: int) -> dict[str, Alarm]:
        """Note what was looked for, at a stream time; return the alarms that were raised just now.

        One is over a minute after its newest evidence.
        """
        raised: dict[str, Alarm] = {}
        for name, cause in found.items():
            alarm = self.alarms.get(name)
            if cause is None:
                if alarm is not None and now_ms - alarm.newest_ms > _ALARM_MS:
                    del self.alarms[name]
                continue
            evidence = wire_form(cause)
            del evidence["why"]
            if alarm is None:
                self.alarms[name] = RaisedAlarm(now_ms, now_ms, evidence)
                raised[name] = cause
            else:
                alarm.newest_ms, alarm.evidence = now_ms, evidence
        return raised

    def behind(self, version: Order) -> list[str]:
        """Return the names of replicas that have not acknowledged a message, sorted."""
        return sorted(name for name, seen in self.replicas.items() if (seen[0], seen[1]) < version)

    def _ineffective(self, traffic: Traffic, route: Route) -> RollbackNotEffective | None:
        """An arm without weight that is still served after the grace time."""
        grace_ms = round(route.settings.following.grace_s * 1000)
        found: RollbackNotEffective | None = None
        for served in traffic.served:
            gone = self.rolled_back.get(served.arm)
            if gone is None or served.from_ms <= gone.at_ms + grace_ms:
                continue
            gone.served_after = min(_MOST, gone.served_after + served.count)
            if served.replica is not None and (
                served.replica in gone.served_by or len(gone.served_by) < _NAMED
            ):
                known = gone.served_by.get(served.replica, 0)
                gone.served_by[served.replica] = min(_MOST, known + served.count)
            found = RollbackNotEffective(
                arm=served.arm,
                served_after_grace=gone.served_after,
                grace_s=route.settings.following.grace_s,
                since=Version(gone.epoch, gone.seq),
                replicas_behind=self.behind((gone.epoch, gone.seq)),
                served_by=dict(gone.served_by) or UNSET,
            )
        return found

    def _mismatch(
        self, traffic: Traffic, route: Route, registered: dict[str, int]
    ) -> WeightsNotFollowed | None:
        """The arm whose share is least likely under the weights that its predictions name."""
        newest = self.published[-1] if self.published else None
        worst: tuple[float, WeightsNotFollowed] | None = None
        self.units = seen_in(self.units, route.reassign_ms or 0, traffic.until_ms)
        self.mix = {arm: capital for arm, capital in self.mix.items() if arm not in self.off}
        grouped = self._by_weights(traffic.served, registered)
        for weights, counts, draws, _ in grouped:
            total = sum(draws.values())
            if weights is newest:
                for arm, count in counts.items():
                    self.served[arm] = min(_MOST, self.served.get(arm, 0) + count)
            if not route.settings.following.check_mix or not total:
                continue
            for arm in sorted(set(weights.weights) | set(counts)):
                # Half of alpha for those that are not registered, the rest for all others.
                share = 1.0 if arm == OTHERS else arm_alpha(1.0, registered.get(arm, 1))
                threshold = math.log(2 / (share * route.settings.following.alpha))
                weight, count = weights.weights.get(arm, 0.0), draws.get(arm, 0)
                capital = self.mix.setdefault(arm, new_capital(1, len(ODDS_RATIOS)))
                growth = in_micro(log_growth_of_mix(count, total, weight)[None])
                grow(capital, growth, 1, [0, 0, 0, 0], threshold)
                evidence = wealth_of(capital)[0]
                if evidence >= threshold and (worst is None or evidence > worst[0]):
                    found = WeightsNotFollowed(
                        arm=arm,
                        weight=weight,
                        served=count,
                        served_of=total,
                        log_evidence=round(evidence, 6),
                        log_threshold=round(threshold, 6),
                    )
                    worst = evidence, found
        if worst is not None:
            # What was found is said; what is bet from here on tells whether it goes on.
            self.mix = {arm: asleep(capital) for arm, capital in self.mix.items()}
        strayed = self._strayed(grouped, route, traffic.until_ms)
        return strayed or (None if worst is None else worst[1])

    def _strayed(
        self, grouped: list[Grouped], route: Route, now_ms: int
    ) -> WeightsNotFollowed | None:
        """The replica that does not follow by its own predictions, where they name it."""
        following = route.settings.following
        found: Stray | None = None
        if following.check_mix:
            for weights, _, _, by_replica in grouped:
                one = watch(self.watching, weights.weights, by_replica, following.alpha, now_ms)
                found = one or found
        if found is None:
            return None
        strayed = self.watching.replicas[found.replica]
        strayed.bets = asleep(strayed.bets)
        return WeightsNotFollowed(**structs.asdict(found))

    def _by_weights(self, served: list[ServedCount], registered: dict[str, int]) -> list[Grouped]:
        """Group by the weights that their control message carried, where these are known.

        Predictions by arm, and those that were draws of their own: one of each unit and period; the
        latter also by replica.
        """
        found: dict[int, tuple[Counter[str], Counter[str], dict[str, Counter[str]]]] = {}
        for part in served:
            if part.epoch is None or part.seq is None or not self.published:
                continue
            version = part.epoch, part.seq
            places = [
                at for at, known in enumerate(self.published) if (known.epoch, known.seq) <= version
            ]
            if places:
                counts, draws, by_replica = found.setdefault(places[-1], (Counter(), Counter(), {}))
                arm = part.arm if part.arm in registered else OTHERS
                counts[arm] += part.count
                drawn = max(0, part.count - part.of_units) + self._new_units(part)
                draws[arm] += drawn
                if part.replica is not None:
                    by_replica.setdefault(part.replica, Counter())[arm] += drawn
        return [(self.published[at], *counted) for at, counted in sorted(found.items())]

    def _new_units(self, part: ServedCount) -> int:
        """Count units that no worker named before in their period."""
        period = part.unit_period
        if period is None:
            return 0
        return sum(note_unit(self.units, unit, period, MOST_MIX_UNITS) for unit in part.units)


def loop_summary(loop: ClosedLoop, version: Order) -> dict[str, Any]:
    """Return what a heartbeat says of those who follow; ``version`` is the newest routing change.

    ``replicas`` heard lately, those ``behind``, predictions ``served`` by arm under the weights in
    force, and ``alarms``; without what is empty.
    """
    summary: dict[str, Any] = {
        "replicas": len(loop.replicas),
        "behind": loop.behind(version),
        "served": dict(sorted(loop.served.items())),
        "alarms": {
            name: {"since_ms": alarm.since_ms, **alarm.evidence}
            for name, alarm in loop.alarms.items()
        },
    }
    return {name: value for name, value in summary.items() if value}
