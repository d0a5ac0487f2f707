"""Alert rules, Grafana board and compose file agree with metrics and runbook."""

import re
import subprocess
from collections import defaultdict
from typing import Any

import pytest
from alerting import PROMETHEUS, ROOT, alert_rules, board, board_expressions, load, tool

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DOCUMENTED = set(re.findall(r"`(leverframe_\w+)`", METRICS.partition("\n## ")[0]))
# They have a page of metrics of their own.
ACTUATORS = (ROOT / "docs" / "actuators.md").read_text(encoding="utf-8")
OF_ACTUATORS = set(re.findall(r"`(leverframe_\w+)`", ACTUATORS))
RULES = {rule["alert"]: rule for rule in alert_rules()}


def test_every_metric_that_is_asked_for_is_documented() -> None:
    """Names in rules and board stand in the pages, and each one of docs/metrics.md is used."""
    expressions = [rule["expr"] for rule in alert_rules()] + list(board_expressions().values())
    used = {name for text in expressions for name in re.findall(r"\bleverframe_\w+", text)}
    assert used <= DOCUMENTED | OF_ACTUATORS
    assert used >= DOCUMENTED - {"leverframe_route_seq"}


@pytest.mark.parametrize("name", RULES)
def test_alert_says_what_it_needs_to_say(name: str) -> None:
    """It waits, has a severity, a summary, a description, and a section in the runbook."""
    rule = RULES[name]
    assert re.fullmatch(r"\d+[sm]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\*\*([\w ]+?)\.?\*\*", section, re.MULTILINE)
    assert told == ["Means", "Users see", "Look", "Do", "Over"]
    assert f"| `{name}` | {rule['labels']['severity']} |" in METRICS


def test_runbook_has_no_section_without_its_alert() -> None:
    """A section that no alert leads to would go stale unseen."""
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == list(RULES)


def test_each_alert_is_tested_both_ways() -> None:
    """alerts_test.yml shows each alert firing, and silent."""
    seen: dict[str, set[bool]] = defaultdict(set)
    for case in load(PROMETHEUS / "alerts_test.yml")["tests"]:
        for check in case["alert_rule_test"]:
            seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert dict(seen) == {name: {True, False} for name in RULES}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """Prometheus' own tool reads rules and settings, and the rules do what their tests say."""
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_board_can_be_imported() -> None:
    """It names its Prometheus by a variable; panels have ids of their own and do not overlap."""
    told = board()
    assert told["uid"] == "leverframe"
    ids = [panel["id"] for panel in told["panels"]]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in told["panels"]:
        assert panel.get("description") or panel["type"] == "row", panel["title"]
        _take(taken, panel)
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"


def _take(taken: dict[tuple[int, int], str], panel: dict[str, Any]) -> None:
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= 24
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            assert (x, y) not in taken, f"{panel['title']} lies on {taken.get((x, y))}"
            taken[x, y] = panel["title"]


def test_compose_is_for_this_machine_alone_and_fits_together() -> None:
    """Ports are on loopback; Prometheus scrapes the worker's port; what is mounted exists."""
    services = load(ROOT / "docker" / "compose.yaml")["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
        for source in (volume.split(":")[0] for volume in service["volumes"]):
            assert not source.startswith(".") or (ROOT / "docker" / source).exists(), source
    port = services["worker"]["environment"]["LEVERFRAME_APP__WEB_PORT"]
    jobs = load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["leverframe"]
    assert jobs[0]["static_configs"] == [{"targets": [f"worker:{port}"]}]
    grafana = ROOT / "docker" / "grafana" / "provisioning"
    (source,) = load(grafana / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['ports'][0].split(':')[-1]}"
    (provider,) = load(grafana / "dashboards" / "leverframe.yml")["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/leverframe.json" in mounted
