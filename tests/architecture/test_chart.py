"""The Helm chart without Helm: its values, its copies, and what its examples render to."""

import copy
import json
import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm
import jsonschema
import msgspec
import pytest
import yaml
from alerting import ROOT

from bench.growth.results import read_growth
from bench.sizing.__main__ import GROWTH, STARTING
from bench.sizing.coefficients import Coefficients, fitted
from bench.sizing.event_costs import Need, event_us
from bench.sizing.formula import plan
from leverframe.agents.settings import Settings, load_settings

CHART = ROOT / "docker" / "helm" / "leverframe"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
GOLDEN = {
    values.stem: helm.manifests(helm.golden(values).read_text("utf-8")) for values in helm.EXAMPLES
}
PODS = [
    pytest.param(manifest, id=f"{example} {manifest['metadata']['name']}")
    for example, manifests in GOLDEN.items()
    for manifest in manifests
    if manifest["kind"] in {"StatefulSet", "Deployment", "Pod"}
]


def of_kind(example: str, kind: str, ending: str = "") -> dict[str, Any]:
    (found,) = (
        manifest
        for manifest in GOLDEN[example]
        if manifest["kind"] == kind and manifest["metadata"]["name"].endswith(ending)
    )
    return found


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    return spec if manifest["kind"] == "Pod" else spec["template"]["spec"]


def containers_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    pod = pod_of(manifest)
    return [*pod.get("initContainers", []), *pod["containers"]]


def values_of(example: str) -> dict[str, Any]:
    (file,) = (values for values in helm.EXAMPLES if values.stem == example)
    return merged(VALUES, yaml.safe_load(file.read_text("utf-8")))


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Put values over others as Helm does."""
    told = copy.deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(told.get(key), dict)
        told[key] = merged(told[key], value) if both else value
    return told


def test_copies_are_those_of_docker() -> None:
    """Rules, board, coefficients, version are as docker/helm/generate.py (``make chart``) says."""
    made = runpy.run_path(str(ROOT / "docker" / "helm" / "generate.py"))
    for path, text in made["generated"]().items():
        assert path.read_text(encoding="utf-8") == text, path


def paths(schema: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{at}{name}"
        yield from paths(inner, f"{at}{name}.")


def keys(values: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, inner in values.items():
        yield f"{at}{name}"
        if isinstance(inner, dict):
            yield from keys(inner, f"{at}{name}.")


def test_schema_and_defaults_have_the_same_keys() -> None:
    """A value without a default is not known to exist, one without a schema is not checked."""
    free = (
        "resources.",
        "labels.",
        "podAnnotations.",
        "definitions",
        "gateway.tls.",
        "broker.client.",
    )
    ours = {path for path in keys(VALUES) if not any(part in f"{path}" for part in free)}
    told = {path for path in paths(SCHEMA) if not any(part in path for part in free)} - {"global"}
    assert ours == told


@pytest.mark.parametrize("example", GOLDEN)
def test_examples_are_within_the_schema(example: str) -> None:
    jsonschema.validate(values_of(example), SCHEMA)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("worker.replicas", "three"),
        ("worker.persistence.size", "10G"),
        ("worker.lane", 4),
        ("topics.partitions", 0),
        ("broker.servers", "kafka"),
        ("image.digest", "latest"),
        ("existingSecret", {"password": "secret"}),
        ("networkPolicy.brokerPorts", ["kafka"]),
        ("sizing.used", 1.5),
    ],
)
def test_schema_refuses(path: str, wrong: object) -> None:
    """A wrong word or type is told before anything is installed, with its place."""
    values = values_of("minimal")
    *sections, key = path.split(".")
    node = values
    for section in sections:
        node = node[section]
    node[key] = wrong
    with pytest.raises(jsonschema.ValidationError) as told:
        jsonschema.validate(values, SCHEMA)
    assert told.value.json_path.removeprefix("$.") in {path, ".".join(sections), f"{path}[0]"}


@pytest.mark.parametrize("manifest", PODS)
def test_pods_may_do_little(manifest: dict[str, Any]) -> None:
    """Not root, nothing to write but volumes, no capability, no token of Kubernetes."""
    pod = pod_of(manifest)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in containers_of(manifest):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} == container["resources"].keys()
        assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize("manifest", PODS)
def test_pods_hold_no_secret(manifest: dict[str, Any]) -> None:
    """Secrets are named, and their values stand nowhere; mounts have their volumes."""
    pod = pod_of(manifest)
    volumes = {volume["name"] for volume in pod["volumes"]}
    claims = manifest["spec"].get("volumeClaimTemplates", [])
    volumes |= {claim["metadata"]["name"] for claim in claims}
    for container in containers_of(manifest):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        names = [variable["name"] for variable in container["env"]]
        assert len(set(names)) == len(names)
        for variable in container["env"]:
            words = ("PASSWORD", "SECRET", "TOKEN", "CONTROL_KEY", "NOTIFICATIONS__URL")
            assert "value" not in variable or not variable["name"].endswith(words)


@pytest.mark.parametrize("example", GOLDEN)
def test_workers_keep_their_names_and_their_time_to_end(example: str) -> None:
    """Static membership by the pod's name, a volume each, and more than 20 s to end."""
    made = of_kind(example, "StatefulSet")
    pod = pod_of(made)
    env = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    assert env["LEVERFRAME_APP__INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert pod["terminationGracePeriodSeconds"] > 20
    assert made["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    budget = of_kind(example, "PodDisruptionBudget", "-worker")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == made["spec"]["selector"]


@pytest.mark.parametrize("example", GOLDEN)
def test_workers_ask_for_what_the_formula_says(example: str, coefficients: Coefficients) -> None:
    """Processes and cores of the chart are those of ``bench.sizing``, within a hundredth."""
    values = values_of(example)
    need = need_of(values["sizing"])
    found = plan(coefficients, need)
    processes = values["worker"]["processes"]
    replicas = values["worker"]["replicas"] or max(2, math.ceil(found.processes / processes))
    made = of_kind(example, "StatefulSet")
    assert made["spec"].get("replicas", replicas) == replicas
    used = cores(coefficients, need, replicas * processes) / replicas
    wanted = max(used / need.used, coefficients.light_cores * processes)
    asked = int(pod_of(made)["containers"][0]["resources"]["requests"]["cpu"].removesuffix("m"))
    assert asked / 1000 == pytest.approx(wanted, rel=0.01, abs=0.002)


def need_of(sizing: dict[str, Any]) -> Need:
    return Need(
        rate=sizing["eventsPerSecond"],
        window_s=sizing["windowS"],
        value_kb=sizing["valueBytes"] / 1000,
        arms=sizing["arms"],
        routes=sizing["routes"],
        used=sizing["used"],
    )


def cores(known: Coefficients, need: Need, processes: int) -> float:
    """Cores of so many processes, as in ``bench.sizing.formula.plan``."""
    waiting = need.rate / 2 * need.window_s
    each_us = event_us(known, need, waiting / processes, processes)
    return need.rate * each_us / 1e6 + need.routes * known.route_cores


@pytest.fixture(scope="module")
def coefficients() -> Coefficients:
    """Give what was measured."""
    return fitted(read_growth(GROWTH), json.loads(STARTING.read_text("utf-8")))


def test_scaler_is_bounded_by_the_work_there_is() -> None:
    """No more workers than partitions and lanes, whatever the lag."""
    values = values_of("full")
    scaler = of_kind("full", "ScaledObject")["spec"]
    most = min(values["topics"]["partitions"], values["worker"]["lanes"])
    assert scaler["maxReplicaCount"] * values["worker"]["processes"] == most
    told = [trigger["metadata"] for trigger in scaler["triggers"]]
    assert [one["topic"] for one in told] == ["shop.predictions", "shop.ground-truth"]
    assert {one["consumerGroup"] for one in told} == {"leverframe-shop"}
    assert "replicas" not in of_kind("full", "StatefulSet")["spec"]


JOBS = {
    "-worker": "leverframe",
    "-gateway": "leverframe-gateway",
    "-actuator": "leverframe-actuator",
}


def test_actuator_may_read_and_patch_what_is_named_alone() -> None:
    """By name, with a token that it asks for itself; and it reaches the API server."""
    made = of_kind("full", "Deployment", "-actuator")
    account = pod_of(made)["serviceAccountName"]
    role = of_kind("full", "Role", "-actuator")
    assert role["rules"] == [
        {
            "apiGroups": ["gateway.networking.k8s.io"],
            "resources": ["httproutes"],
            "resourceNames": ["checkout"],
            "verbs": ["get", "patch"],
        }
    ]
    binding = of_kind("full", "RoleBinding", "-actuator")
    assert binding["subjects"][0]["name"] == account == binding["roleRef"]["name"]
    assert of_kind("full", "ServiceAccount", "-actuator")["metadata"]["name"] == account
    mounts = {one["name"]: one["mountPath"] for one in containers_of(made)[0]["volumeMounts"]}
    assert mounts["account"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    policy = of_kind("full", "NetworkPolicy", "-actuator")
    ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    assert {443, 6443, 9093, 53} == {*ports}
    assert [made for made in GOLDEN["minimal"] if made["kind"] == "Role"] == []


def test_monitoring_finds_the_job_that_the_alerts_name() -> None:
    """ServiceMonitors give the job names that rules and board ask for."""
    for part, job in JOBS.items():
        made = of_kind("full", "ServiceMonitor", part)
        assert {end["relabelings"][0]["replacement"] for end in made["spec"]["endpoints"]} == {job}
        selected = made["spec"]["selector"]["matchLabels"].items()
        assert selected <= of_kind("full", "Service", part)["metadata"]["labels"].items()


@pytest.mark.parametrize("file", ["alerts.yml", "dashboard.json"])
def test_operators_get_whole_files(file: str) -> None:
    """Golden output names rules and board where Helm put them in, whole."""
    text = helm.golden(helm.EXAMPLES[0].with_stem("full")).read_text("utf-8")
    assert re.search(rf"^ +# all of files/{file}$", text, re.MULTILINE)


SECRETS = {
    "full": ("LEVERFRAME_BROKER__PASSWORD", "LEVERFRAME_GATEWAY__TOKEN"),
    "oauth": ("LEVERFRAME_BROKER__OAUTH_CLIENT_SECRET",),
    "strimzi-mtls": ("LEVERFRAME_GATEWAY__TOKEN",),
}


@pytest.mark.parametrize("example", GOLDEN)
def test_settings_of_the_examples_load(example: str, tmp_path: Path) -> None:
    """The ConfigMap is a settings file that each pod takes, with its environment and secrets."""
    told = of_kind(example, "ConfigMap", "-settings")["data"]["leverframe.toml"]
    file = tmp_path / "leverframe.toml"
    file.write_text(told, encoding="utf-8")
    secret = dict.fromkeys(SECRETS.get(example, ()), "sixteen-letters-and-more")
    values = values_of(example)
    for manifest in GOLDEN[example]:
        if manifest["kind"] in {"StatefulSet", "Deployment", "Pod"}:
            env = pod_of(manifest)["containers"][0]["env"]
            plain = {one["name"]: one["value"] for one in env if "value" in one}
            found = load_settings(file, plain | secret)
            assert found.topics.partitions == values["topics"]["partitions"]
            assert found.broker.servers == values["broker"]["servers"]


def test_chart_refuses_every_secret_among_the_settings() -> None:
    """What settings call a password, a token, a secret or a key is named in the chart's checks."""
    checks = (CHART / "templates" / "_checks.tpl").read_text("utf-8")
    secret = re.compile(r"(.*_)?(password|token|secret|key)(_before)?")
    found = {
        f"{section.name}.{field.name}"
        for section in msgspec.structs.fields(Settings)
        if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct)
        for field in msgspec.structs.fields(section.type)
        if secret.fullmatch(field.name) and field.type is not bool
    }
    assert len(found) > 8
    assert {path for path in found if f'"{path}"' not in checks} == set()


def test_values_that_the_page_names_exist() -> None:
    """Each `section.value` of docs/production.md that begins like a value is one."""
    page = (ROOT / "docs" / "production.md").read_text("utf-8")
    named = set(re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", page))
    ours = {name for name in named if name.split(".")[0] in VALUES}
    assert len(ours) > 10
    assert ours - set(keys(VALUES)) == set()
