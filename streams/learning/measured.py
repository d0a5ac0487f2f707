"""What is known of each arm's metrics: sums, a picture of their spread, and the bets on them.

Everything is a whole number, so that a replay gives the same state. A metric's values are mapped to
*badness*: 0 is the best end of its range, 1 the worst. What is *tested* of a value is its badness,
or where a quantile is looked at, whether it lies beyond a threshold.
"""

from collections.abc import Collection, Mapping
from operator import add
from typing import Final

from msgspec import Struct, field

from leverframe.policies.guard.betting import STAKES
from leverframe.policies.guard.capital import MICRO_NAT, Capital, new_capital
from leverframe.policies.guard.seen import SeenUnits, hash_unit, note_unit, seen_in
from leverframe.policies.guard.shares import ODDS, log_growth_above
from leverframe.policies.units import FROM_NANO, NANO
from leverframe.schemas.codec import DECODE_ERRORS, decode_error, decoder
from leverframe.schemas.measurements import Measured, Measurements, route_of_metrics
from leverframe.streams.envelope import InputRecord, check_key
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import Route

__all__ = [
    "MetricSums",
    "RouteMetrics",
    "begin_anew",
    "forget_bets",
    "is_held",
    "is_suspect",
    "measurements_of",
    "note_measured",
    "note_suspects",
    "quantile_of",
]

_BIN: Final = NANO // 1000
_FEWEST: Final = 2  # values beyond a quantile, before it is taken for the reference's
_MOST_IN_BINS: Final = 16_384  # then all are halved, so that the picture follows the arm
_DOUBT_MICRO: Final = 1_609_438  # log 5 in 1e-6 nats, as for labels


class MetricSums(Struct, array_like=True):
    """One metric of one arm.

    Attributes
    ----------
    count : int
        Values seen.
    total : int
        Their badness, 1e-9.
    own, side : int
        What is tested of them, 1e-9: of the arm that is judged, and of the same arm as a reference.
    bins : dict of int to int
        Newest values by their badness in thousandths, where a quantile is looked at.
    threshold : int
        The arm's own quantile, as its challengers are held to it; -1 before it is known.
    due : int
        Count at which it is looked at anew.
    reference : str
        The arm compared with; "" where there is none.
    block : list of int
        Count and ``own`` of the arm, count and ``side`` of its reference, where the open block
        began.
    closed : list of list of int
        Blocks that were not bet on yet: requests and badness of the arm, then of its reference.
    capital : Capital
        What is bet on it.
    won : list of int
        Where there is a bound: requests that were not settled yet, and what each bet won on them,
        1e-6 nats.
    against_micro : int
        Evidence against the arm, 1e-6 nats.
    is_proved : bool
        Whether it has reached its threshold.
    version : int
        Of the metric's settings, by which these sums were made.
    base : list of int
        Count and ``side`` of the reference when the first block began that is not settled: its rate
        as it is known before what is bet on it.
    """

    count: int = 0
    total: int = 0
    own: int = 0
    side: int = 0
    bins: dict[int, int] = field(default_factory=dict)
    threshold: int = -1
    due: int = 0
    reference: str = ""
    block: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    closed: list[list[int]] = field(default_factory=list)
    capital: Capital = field(default_factory=lambda: new_capital(1, 0))
    won: list[int] = field(default_factory=list)
    against_micro: int = 0
    is_proved: bool = False
    version: int = 0
    base: list[int] = field(default_factory=lambda: [0, 0])


class RouteMetrics(Struct, array_like=True):
    """The metrics of a route.

    Attributes
    ----------
    arms : dict of str to dict of str to MetricSums
        By arm and metric, as far as values came.
    units : SeenUnits
        Whose request was counted in this period, where predictions name their unit.
    suspects : list of str
        Arms of which a guardrail says, 5 to 1 or more, that they are worse.
    """

    arms: dict[str, dict[str, MetricSums]] = field(default_factory=dict)
    units: SeenUnits = field(default_factory=SeenUnits)
    suspects: list[str] = field(default_factory=list)


_decode: Final = decoder(Measurements)


def measurements_of(record: InputRecord) -> Measurements:
    """Read a record of measurements; ``RecordError`` where it is none, or another route's."""
    try:
        told = _decode(record.value or b"")
    except DECODE_ERRORS as error:
        raise decode_error(error) from error
    check_key(route_of_metrics(record.key), told.route, "route")
    return told


def note_measured(known: RouteMetrics, route: Route, one: Measured) -> None:
    """Count what was measured of a request; of a unit, the first one in each period.

    Nobody is judged by a budget, nor by a part of the reward: there each request counts.
    """
    is_first = one.unit_id is None or _is_new(known, route, one)
    own = known.arms.setdefault(one.arm, {})
    for metric in route.metrics:
        value = one.values.get(metric.name)
        if value is not None and (is_first or not metric.is_judged):
            sums = own.get(metric.name)
            if sums is None or sums.version != metric.version:
                sums = _new_sums(known, one.arm, metric)
            other = known.arms.get(sums.reference, {}).get(metric.name)
            _count(sums, other, metric, metric.badness_nano(value))
            if metric.settings.quantile is not None and sums.count >= sums.due:
                _look_anew(known, one.arm, metric, metric.settings.quantile)


def _is_new(known: RouteMetrics, route: Route, one: Measured) -> bool:
    """Whether a unit was not counted in this period; what its labels say is counted apart."""
    known.units = seen_in(known.units, route.unit_period_ms, one.at_ms)
    unit = hash_unit(f"\0label\0{one.unit_id}" if one.by_label else str(one.unit_id))
    return note_unit(known.units, unit, one.at_ms // route.unit_period_ms)


def _new_sums(known: RouteMetrics, arm: str, metric: Metric) -> MetricSums:
    """Sums of a metric that came for the first time since its settings are what they are.

    Those of other arms that were made by other settings go, too: they cannot be compared.
    """
    for others in known.arms.values():
        one = others.get(metric.name)
        if one is not None and one.version != metric.version:
            others[metric.name] = _fresh(metric, one.capital.starts)
    return known.arms[arm].setdefault(metric.name, _fresh(metric, 0))


def _fresh(metric: Metric, starts: int) -> MetricSums:
    is_on_means = metric.level is None and metric.settings.quantile is None
    capital = new_capital(1, len(ODDS) + (len(STAKES) // 2 if is_on_means else 0))
    capital.starts = starts
    return MetricSums(capital=capital, version=metric.version)


def _count(sums: MetricSums, other: MetricSums | None, metric: Metric, bad: int) -> None:
    sums.count += 1
    sums.total += bad
    before = sums.own
    if metric.settings.quantile is None:
        sums.own += bad
        sums.side += bad
    else:
        _count_beyond(sums, other, metric, bad)
    if metric.level is not None:
        won = log_growth_above((sums.own - before) * FROM_NANO, metric.level)
        more = [1, *(round(nats / MICRO_NAT) for nats in won)]
        sums.won = list(map(add, sums.won, more)) if sums.won else more
    elif other is not None:
        _close_block(sums, other, metric)


def _close_block(sums: MetricSums, other: MetricSums, metric: Metric) -> None:
    """Close the open block, if the reference was asked in it too."""
    if metric.settings.quantile is not None and other.threshold < 0:
        begin_block(sums, other)
    elif other.count > sums.block[2]:
        count, own, other_count, side = sums.block
        sums.closed.append(
            [sums.count - count, sums.own - own, other.count - other_count, other.side - side]
        )
        begin_block(sums, other)


def _count_beyond(sums: MetricSums, other: MetricSums | None, metric: Metric, bad: int) -> None:
    """Count a value beyond the arm's own quantile, and one beyond what it is held to."""
    place = min(bad // _BIN, 999)
    sums.bins[place] = sums.bins.get(place, 0) + 1
    if 0 <= sums.threshold < bad:
        sums.side += NANO
    limit = metric.bound_nano
    if limit is None and other is not None and other.threshold >= 0:
        limit = other.threshold + metric.margin_nano
    if limit is not None and bad > limit:
        sums.own += NANO


def _look_anew(known: RouteMetrics, arm: str, metric: Metric, quantile: float) -> None:
    """Set an arm's threshold by its newest values; blocks that are open on it begin anew."""
    sums = known.arms[arm][metric.name]
    fewest = round(_FEWEST / (1 - quantile))
    if sums.count < fewest:
        sums.due = fewest
        return
    if sum(sums.bins.values()) >= _MOST_IN_BINS:
        sums.bins = {place: half for place, n in sums.bins.items() if (half := n // 2)}
    sums.due = sums.count + min(sums.count, _MOST_IN_BINS // 2)
    sums.threshold = _quantile_nano(sums, quantile)
    for others in known.arms.values():
        one = others.get(metric.name)
        if one is not None and one.reference == arm:
            begin_block(one, sums)


def _quantile_nano(sums: MetricSums, quantile: float) -> int:
    """The least end of a bin beyond which no more lie than the quantile leaves."""
    left = (1 - quantile) * sum(sums.bins.values())
    beyond = 0
    for place in sorted(sums.bins, reverse=True):
        beyond += sums.bins[place]
        if beyond > left:
            return (place + 1) * _BIN
    return 0


def quantile_of(sums: MetricSums, metric: Metric) -> float | None:
    """Return the newest values' quantile in the metric's unit; None where none is looked at."""
    quantile = metric.settings.quantile
    if quantile is None or not sums.bins:
        return None
    return metric.value_of(_quantile_nano(sums, quantile) / NANO)


def begin_block(sums: MetricSums, other: MetricSums) -> None:
    """Let the next block of concurrent requests begin now."""
    sums.block = [sums.count, sums.own, other.count, other.side]


def begin_anew(sums: MetricSums, reference: str, other: MetricSums | None) -> None:
    """Forget what was won and lost; the number of starts goes on, as the budget is for life."""
    fresh = new_capital(1, len(sums.capital.log_active[0]))
    fresh.starts = sums.capital.starts
    sums.capital, sums.reference, sums.closed = fresh, reference, []
    sums.against_micro, sums.is_proved = 0, False
    sums.won = []
    begin_block(sums, MetricSums() if other is None else other)
    sums.base = sums.block[2:]
    fresh.since = list(sums.block)


def is_suspect(known: RouteMetrics | None, arm: str) -> bool:
    """Whether the evidence of a guardrail against an arm is 5 to 1, or more."""
    return known is not None and arm in known.suspects


def note_suspects(known: RouteMetrics, route: Route, asked: Collection[str]) -> None:
    """Look at the evidence against those of whom something is new."""
    guardrails = [one.name for one in route.metrics if one.is_guardrail]
    found = [
        arm
        for arm, own in known.arms.items()
        if arm in asked
        and any(own[name].against_micro >= _DOUBT_MICRO for name in guardrails if name in own)
    ]
    known.suspects = [arm for arm in known.suspects if arm not in asked] + found


def is_held(known: RouteMetrics | None, route: Route, arm: str) -> bool:
    """Whether ramp and promotion wait: a guardrail is doubted, or a signal proved to be worse."""
    own: Mapping[str, MetricSums] = {} if known is None else known.arms.get(arm, {})
    is_proved = any(
        sums.is_proved and one.is_judged
        for one in route.metrics
        if (sums := own.get(one.name)) is not None
    )
    return is_proved or is_suspect(known, arm)


def forget_bets(known: RouteMetrics | None, arm: str) -> None:
    """Begin anew with all metrics of an arm that leaves the line, or comes back."""
    if known is None:
        return
    for sums in known.arms.get(arm, {}).values():
        begin_anew(sums, "", None)
    known.suspects = [one for one in known.suspects if one != arm]
