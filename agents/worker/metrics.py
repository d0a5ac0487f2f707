"""Metrics for Prometheus: what the newest heartbeat of each route on this worker says.

Names and labels are public: docs/metrics.md. Series are bounded by the routes and arms that are
registered and by the reasons of dead letters; nothing that a producer sends becomes a label.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import REASONS
from leverframe.schemas.traffic import NEARBY_ORPHAN_LABELS
from leverframe.streams.health.join import JOIN_COUNTS

__all__ = ["RouteCollector", "metrics_page"]

_QUANTILES = ("0.5", "0.9", "0.99")


class RouteCollector(Collector):
    """Turns heartbeats into series.

    ``newest`` returns the newest heartbeat of each route of this worker; ``set_aside`` counts dead
    letters by reason since its start, one live mapping for each agent, ``lost`` records by topic,
    ``ingested`` records of sources by what became of them, ``moved`` rollbacks and promotions by
    kind, route and cause.
    """

    def __init__(
        self,
        newest: Callable[[], Iterable[ControlMessage]],
        set_aside: Sequence[Mapping[str, int]] = (),
        lost: Mapping[str, int] | None = None,
        ingested: Mapping[tuple[str, str], int] | None = None,
        moved: Mapping[tuple[str, str, str], int] | None = None,
    ) -> None:
        self._newest = newest
        self._set_aside = set_aside
        self._lost = {} if lost is None else lost
        self._ingested = {} if ingested is None else ingested
        self._moved = {} if moved is None else moved

    def collect(self) -> Iterator[Metric]:
        """Yield all families; what is not known of a route or an arm is left out."""
        families = _families()
        for message in self._newest():
            _of_route(families, message)
            for arm, weight in message.weights.items():
                families["weight"].add_metric([message.route, arm], weight)
            for arm, known in message.cause.get("arms", {}).items():
                _of_arm(families, message.route, arm, known)
        self._count(families)
        yield from families.values()

    def _count(self, families: dict[str, Any]) -> None:
        """Add what this worker counted since its start."""
        if self._set_aside:
            for reason in REASONS:
                count = sum(counts.get(reason, 0) for counts in self._set_aside)
                families["dead"].add_metric([reason], count)
        for topic, count in self._lost.items():
            families["lost"].add_metric([topic], count)
        for (source, what), count in self._ingested.items():
            families["source"].add_metric([source, what], count)
        for (kind, route, why), count in self._moved.items():
            families[kind].add_metric([route, why], count)


def _families() -> dict[str, Any]:
    route, arm = ["route"], ["route", "arm"]
    metric = [*arm, "metric"]
    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    return {
        "weight": gauge("leverframe_arm_weight", "Propensity in force.", labels=arm),
        "labels": gauge("leverframe_arm_labels", "Labels counted now.", labels=arm),
        "mean": gauge("leverframe_arm_mean_reward", "Mean reward in [0, 1].", labels=arm),
        "shadow": gauge(
            "leverframe_arm_labels_in_shadow", "Labels of answers in shadow, now.", labels=arm
        ),
        "pairs": gauge(
            "leverframe_arm_pairs", "Requests that arm and champion both answered.", labels=arm
        ),
        "difference": gauge(
            "leverframe_arm_pair_difference",
            "By how much the arm is better than the champion on them, in [-1, 1].",
            labels=arm,
        ),
        "verdict": gauge(
            "leverframe_arm_verdict", "1 for the guard's verdict.", labels=[*arm, "verdict"]
        ),
        "measured": gauge(
            "leverframe_arm_metric_mean", "Of a metric of predictions, in its unit.", labels=metric
        ),
        "quantile": gauge(
            "leverframe_arm_metric_quantile",
            "Of its newest values, where the route looks at one.",
            labels=metric,
        ),
        "requests": gauge(
            "leverframe_arm_metric_requests", "Requests with the metric.", labels=metric
        ),
        "against": gauge(
            "leverframe_arm_metric_against_nats",
            "Evidence that the arm is worse than tolerable.",
            labels=metric,
        ),
        "delay": gauge(
            "leverframe_label_delay_seconds",
            "Quantiles of the time from prediction to first label.",
            labels=[*arm, "quantile"],
        ),
        "events": counter(
            "leverframe_join_events", "What happened at the join.", labels=[*arm, "what"]
        ),
        "coverage": gauge(
            "leverframe_join_coverage_ratio", "Predictions that got a label.", labels=arm
        ),
        "waiting": gauge(
            "leverframe_join_waiting", "Predictions that wait for a reward.", labels=arm
        ),
        "oldest": gauge(
            "leverframe_join_oldest_waiting_seconds", "Age of the oldest of them.", labels=arm
        ),
        "orphans": counter(
            "leverframe_nearby_orphan_labels",
            "Labels on the route's partitions that never met a prediction.",
            labels=route,
        ),
        "dead": counter(
            "leverframe_dead_letters",
            "Records set aside since the worker started.",
            labels=["reason"],
        ),
        "lost": counter(
            "leverframe_lost_records",
            "Records that retention removed before they were read, since the worker started.",
            labels=["topic"],
        ),
        "rollback": counter(
            "leverframe_rollbacks",
            "Rollbacks since the worker started, by their cause.",
            labels=["route", "why"],
        ),
        "promotion": counter(
            "leverframe_promotions",
            "Promotions since the worker started, by their cause.",
            labels=["route", "why"],
        ),
        "source": counter(
            "leverframe_source_records",
            "Records of a source since the worker started, by what became of them.",
            labels=["source", "what"],
        ),
        "champion": gauge("leverframe_arm_champion", "1 for the champion.", labels=arm),
        "epoch": gauge("leverframe_route_epoch", "Epoch of the newest message.", labels=route),
        "seq": gauge("leverframe_route_seq", "Seq of the newest message.", labels=route),
        "issued": gauge(
            "leverframe_route_heartbeat_timestamp_seconds",
            "When the newest heartbeat was published, since the epoch.",
            labels=route,
        ),
        "ttl": gauge(
            "leverframe_route_ttl_seconds",
            "Silence after which serving systems use the safe weights.",
            labels=route,
        ),
        "replicas": gauge(
            "leverframe_route_replicas", "Replicas that acknowledge.", labels=[*route, "state"]
        ),
        "probation": gauge(
            "leverframe_arm_probation", "1 while the arm is on probation.", labels=["route", "arm"]
        ),
        "ramp": gauge(
            "leverframe_arm_ramp_share", "Share in the ramp's step.", labels=["route", "arm"]
        ),
        "ramp_waits": gauge(
            "leverframe_arm_ramp_waiting",
            "1 while the ramp waits beyond its dwell, or is paused.",
            labels=["route", "arm"],
        ),
        "alarm": gauge("leverframe_route_alarm", "1 while it is raised.", labels=[*route, "alarm"]),
    }


def _of_route(families: dict[str, Any], message: ControlMessage) -> None:
    route = [message.route]
    families["epoch"].add_metric(route, message.epoch)
    families["seq"].add_metric(route, message.seq)
    families["issued"].add_metric(route, message.issued_at_ms / 1000)
    families["ttl"].add_metric(route, message.ttl_ms / 1000)
    if message.champion is not None:
        families["champion"].add_metric([*route, message.champion], 1)
    orphans = message.cause.get("joins", {}).get(NEARBY_ORPHAN_LABELS)
    if orphans is not None:
        families["orphans"].add_metric(route, orphans)
    following = message.cause.get("following", {})
    if following.get("replicas"):
        behind = len(following.get("behind", []))
        families["replicas"].add_metric([*route, "behind"], behind)
        families["replicas"].add_metric([*route, "current"], following["replicas"] - behind)
    if probation := message.cause.get("probation"):
        families["probation"].add_metric([*route, probation["arm"]], 1)
    if ramp := message.cause.get("ramp"):
        families["ramp"].add_metric([*route, ramp["arm"]], ramp["share"])
        waits = bool(ramp["waits_for"] or ramp["paused"])
        families["ramp_waits"].add_metric([*route, ramp["arm"]], int(waits))
    for alarm in following.get("alarms", {}):
        families["alarm"].add_metric([*route, alarm], 1)


def _of_arm(families: dict[str, Any], route: str, name: str, known: dict[str, Any]) -> None:
    arm = [route, name]
    families["labels"].add_metric(arm, known["labels"])
    families["verdict"].add_metric([*arm, known["verdict"]], 1)
    if known["mean"] is not None:
        families["mean"].add_metric(arm, known["mean"])
    for quantile, delay_ms in zip(_QUANTILES, known.get("label_delay_ms", []), strict=False):
        if delay_ms is not None:
            families["delay"].add_metric([*arm, quantile], delay_ms / 1000)
    _in_shadow(families, arm, known.get("in_shadow"))
    _measured(families, arm, known.get("metrics", {}))
    join = known.get("join", {})
    for what in JOIN_COUNTS:
        if what in join:
            families["events"].add_metric([*arm, what], join[what])
    families["waiting"].add_metric(arm, join.get("waiting", 0))
    if join.get("coverage") is not None:
        families["coverage"].add_metric(arm, join["coverage"])
    if join.get("oldest_waiting_ms") is not None:
        families["oldest"].add_metric(arm, join["oldest_waiting_ms"] / 1000)


def _measured(families: dict[str, Any], arm: list[str], metrics: dict[str, Any]) -> None:
    for name, told in metrics.items():
        metric = [*arm, name]
        families["requests"].add_metric(metric, told["requests"])
        families["against"].add_metric(metric, told.get("against", 0.0))
        for family, key in (("measured", "mean"), ("quantile", "quantile")):
            if told.get(key) is not None:
                families[family].add_metric(metric, told[key])


def _in_shadow(families: dict[str, Any], arm: list[str], told: dict[str, Any] | None) -> None:
    if told is None:
        return
    families["shadow"].add_metric(arm, told["labels"])
    families["pairs"].add_metric(arm, told.get("pairs", 0))
    if "difference" in told:
        families["difference"].add_metric(arm, told["difference"])


def metrics_page(collector: RouteCollector) -> Callable[[], bytes]:
    """Return what renders the page in Prometheus' text format, anew each time."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return lambda: generate_latest(registry)
