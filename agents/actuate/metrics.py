"""Prometheus' page of the actuators; names are public: docs/actuators.md."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leverframe.agents.actuate.actuator import Actuator

__all__ = ["make_page"]

_OF_WRITING = ("written", "drifted", "acknowledged")


def make_page(actuators: Sequence[Actuator]) -> bytes:
    """Return the page, as things are now."""
    registry = CollectorRegistry()
    registry.register(_Looked(actuators))
    return generate_latest(registry)


class _Looked(Collector):
    """Looks when it is asked."""

    def __init__(self, actuators: Sequence[Actuator]) -> None:
        self._actuators = actuators

    def collect(self) -> Iterator[Metric]:
        """Yield each, as it is now."""
        yield from _shares(self._actuators)
        in_force = GaugeMetricFamily(
            "leverframe_actuator_in_force",
            "Whether the weights in force were read back",
            labels=["actuator", "route"],
        )
        failing = GaugeMetricFamily(
            "leverframe_actuator_failing",
            "Whether the last try failed, by why",
            labels=["actuator", "route", "kind"],
        )
        events = CounterMetricFamily(
            "leverframe_actuator_events", "What happened", labels=["actuator", "what"]
        )
        failures = CounterMetricFamily(
            "leverframe_actuator_failures", "Tries that failed", labels=["actuator", "kind"]
        )
        for one in self._actuators:
            status = one.status
            in_force.add_metric([one.name, one.route], float(status.is_in_force))
            kind = status.kind if status.failures else ""
            failing.add_metric([one.name, one.route, kind], float(bool(status.failures)))
            for what in _OF_WRITING:
                events.add_metric([one.name, what], status.counts[what])
            for kind in sorted(status.counts.keys() - set(_OF_WRITING)):
                failures.add_metric([one.name, kind], status.counts[kind])
        yield from (in_force, failing, events, failures)


def _shares(actuators: Sequence[Actuator]) -> Iterator[Metric]:
    labels = ["actuator", "route", "arm"]
    held = GaugeMetricFamily("leverframe_actuator_share", "Share that was read", labels=labels)
    wanted = GaugeMetricFamily("leverframe_actuator_target", "Share that is wanted", labels=labels)
    for one in actuators:
        for family, shares in ((held, one.status.shares), (wanted, one.status.target)):
            for arm, share in shares.items():
                family.add_metric([one.name, one.route, arm], share / one.place.total)
    yield held
    yield wanted
