"""What the chart's examples render to. Make anew, after a wanted change: ``make chart``."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm
import kube_judge
import kube_schemas
import pytest
from alerting import alert_rules
from doc_blocks import blocks_of

MAKE_ANEW = "run `make chart` and read the difference"


@pytest.fixture(scope="module")
def program() -> str:
    """Give Helm; CI has none, and knows by the digests."""
    found = helm.find_helm()
    if found is None:
        pytest.skip("no helm here: `make chart` builds one where Go is present")
    return found


@pytest.mark.parametrize("values", helm.EXAMPLES, ids=lambda path: path.stem)
def test_golden_output_is_of_this_chart(values: Path) -> None:
    """A golden file is made of the chart and the values as they are now, also without Helm."""
    assert helm.pinned_digest(values) == helm.inputs_digest(values), MAKE_ANEW


def test_each_golden_file_has_its_example() -> None:
    """What is rendered of an example that is gone would be checked for ever."""
    assert sorted(file.name for file in helm.RENDERED.iterdir()) == [
        values.name for values in helm.EXAMPLES
    ]


@pytest.mark.parametrize("values", helm.EXAMPLES, ids=lambda path: path.stem)
def test_helm_renders_the_golden_output(program: str, values: Path) -> None:
    """Helm itself comes to the golden objects, whatever blank lines its version puts between."""
    done = helm.template(program, "--values", values)
    assert done.returncode == 0, done.stderr
    text = helm.golden(values).read_text(encoding="utf-8")
    made = helm.manifests(helm.golden_text(values, done.stdout))
    assert by_name(made) == by_name(helm.manifests(text)), MAKE_ANEW


def test_rules_of_the_operator_are_ours(program: str) -> None:
    """The PrometheusRule holds docker/prometheus/alerts.yml, with addresses for its runbook."""
    (values,) = (example for example in helm.EXAMPLES if example.stem == "full")
    made = helm.manifests(helm.template(program, "--values", values).stdout)
    (rule,) = (one for one in made if one["kind"] == "PrometheusRule")
    (group,) = rule["spec"]["groups"]
    where = "https://docs.example.org/leverframe/runbook.html#"
    for one in group["rules"]:
        notes = one["annotations"]
        assert notes["runbook_url"].startswith(where)
        notes["runbook_url"] = notes["runbook_url"].replace(where, "docs/runbook.md#")
    assert group["rules"] == alert_rules()


def by_name(made: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


@pytest.mark.drill
@pytest.mark.parametrize("version", kube_schemas.KUBERNETES)
@pytest.mark.parametrize("values", helm.EXAMPLES, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(program: str, values: Path, version: str) -> None:
    """API server and operators take each manifest, by their own schemas, and drop nothing of it."""
    done = helm.template(program, "--values", values)
    made = helm.manifests(done.stdout)
    assert [fault for one in made for fault in kube_schemas.faults(one, version)] == []
    made[0]["metadata"]["lables"] = {}
    assert kube_schemas.faults(made[0], version)


@pytest.mark.drill
@pytest.mark.parametrize("values", helm.EXAMPLES, ids=lambda path: path.stem)
def test_an_api_server_would_take_every_manifest(program: str, values: Path) -> None:
    """By its own code: strict decoding, defaults, validation. It does refuse a missing volume."""
    judge = kube_judge.build_judge()
    made = helm.template(program, "--values", values).stdout
    assert kube_judge.faults(judge, made) == ""
    broken = made.replace(
        "- name: tmp\n              mountPath", "- name: gone\n              mountPath"
    )
    assert 'volumeMounts[1].name: Not found: "gone"' in kube_judge.faults(judge, broken)


WRONG = {
    "settings=[app": "settings: not TOML",
    "settings=app.lanes = 8": "settings: app.lanes is set by the chart",
    "settings=broker.password = 'geheim'": "LEVERFRAME_BROKER__PASSWORD",
    "settings=actors.ci.key = 'geheim'": "LEVERFRAME_ACTORS__CI__KEY",
    "worker.replicas=5": "give work to 4",
    "worker.lanes=1": "give work to 1",
    "sizing.eventsPerSecond=1000000": "give work to 4",
    "sizing.windowS=2592000": "worker.persistence.size: 10Gi, but sizing demands",
    "worker.replicas=1,sizing.eventsPerSecond=60000": "sizing demands 3",
    "worker.terminationGracePeriodSeconds=15": "up to 20 s",
    "worker.autoscaling.enabled=true,worker.autoscaling.maxReplicas=9": "lower it",
    "worker.autoscaling.enabled=true,worker.autoscaling.minReplicas=5": "minReplicas: 5",
    "gateway.enabled=true": "LEVERFRAME_GATEWAY__TOKEN",
    "actuator.enabled=true": "no section [actuators.NAME]",
    "settings=actuate.port = 9": "set actuator.port of the values",
    "broker.servers=": "broker.servers: name the brokers",
    "worker.lane=4": "lane",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_with_the_cure(program: str, wrong: str) -> None:
    """What cannot work is told before anything is installed, by the value's name."""
    minimal = helm.EXAMPLES[0].parent / "minimal.yaml"
    done = helm.template(program, "--values", minimal, "--set", wrong)
    assert done.returncode != 0
    assert WRONG[wrong] in done.stderr


def test_the_page_installs_what_it_says(program: str, tmp_path: Path) -> None:
    """Helm's lines of docs/production.md, up to the cluster, with its settings and values."""
    page = helm.ROOT / "docs" / "production.md"
    (settings,) = (block.text for block in blocks_of(page) if block.language == "toml")
    (tmp_path / "leverframe.toml").write_text(settings, encoding="utf-8")
    (tmp_path / "docker").symlink_to(helm.ROOT / "docker")
    lines = [line for block in blocks_of(page) for line in block.text.splitlines()]
    ours = [line for line in lines if line.startswith(("cp ", "helm lint ", "helm template "))]
    for line in ours:
        command = re.sub(r"^helm ", f"{program} ", line)
        done = subprocess.run(  # noqa: S602 - our own page's line, with its redirection
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    (made,) = (
        one
        for one in helm.manifests((tmp_path / "made.yaml").read_text(encoding="utf-8"))
        if one["metadata"]["name"] == "leverframe-settings"
    )
    assert made["data"]["leverframe.toml"].strip() == settings.strip()


def main() -> None:
    """Lint the chart and render every example, with a Helm that is built where there is none."""
    program = helm.find_helm(build=True)
    if program is None:
        sys.exit("no helm: install it, or Go to build it, then run this again")
    helm.RENDERED.mkdir(exist_ok=True)
    for values in helm.EXAMPLES:
        linted = helm.run(program, "lint", "--strict", helm.CHART, "--values", values)
        done = helm.template(program, "--values", values)
        if linted.returncode or done.returncode:
            sys.exit(f"{values.name}: {linted.stdout}{linted.stderr}{done.stderr}")
        _refuse_what_kubernetes_would(done.stdout)
        helm.golden(values).write_text(helm.golden_text(values, done.stdout), encoding="utf-8")
        print(f"{values.name}: {len(helm.manifests(done.stdout))} objects")


def _refuse_what_kubernetes_would(rendered: str) -> None:
    faults = [kube_judge.faults(kube_judge.build_judge(), rendered)]
    for made in helm.manifests(rendered):
        for version in kube_schemas.KUBERNETES:
            faults += kube_schemas.faults(made, version)
    if any(faults):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
