"""What a process is called: by OpenTelemetry's variables, else by its settings."""

import pytest

import leverframe
from leverframe.agents.telemetry.resource import resource_of


def test_a_process_has_the_names_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    told = resource_of("worker-3").attributes
    assert told["service.name"] == "leverframe"
    assert told["service.version"] == leverframe.__version__
    assert told["service.instance.id"] == "worker-3"


def test_variables_of_opentelemetry_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "routing")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7,team=ml")
    told = resource_of("worker-3").attributes
    assert (told["service.name"], told["service.instance.id"]) == ("routing", "pod-7")
    assert told["team"] == "ml"
