"""An actuator over a fake API server, which speaks the documented HTTP; time stands until told."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from actuating import Rig, route_rig, service_rig
from doc_blocks import ROOT
from kube_api import (
    ROUTE_PATH,
    SERVICE_PATH,
    Kept,
    KubeApi,
    http_route,
    inference_service,
    weights_of,
)
from patience import eventually

from leverframe.agents.actuate.metrics import make_page
from leverframe.agents.actuate.settings import WarmUpSettings
from leverframe.serving.tasks import end_task

SLOWLY = WarmUpSettings(step=0.25, every_s=10.0, warm_from=0.1)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    """Give a running API server with an HTTPRoute that kubectl made."""
    with KubeApi().running() as server:
        server.create(ROUTE_PATH, http_route(model_v1=1, model_v2=0))
        yield server


def run(made: Rig, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await scenario(made)
        finally:
            await made.place.close()

    asyncio.run(whole())


def test_writes_reads_back_and_acknowledges_once(api: KubeApi, tmp_path: Path) -> None:
    """Weights of the named rule alone; one acknowledgement a message; nothing written twice."""

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.7, "v2": 0.3})
        await made.turn()
        await made.turn(5.0)
        kept = api.objects[ROUTE_PATH]
        assert weights_of(kept) == {"model-v1": 70, "model-v2": 30}
        assert kept.document["spec"]["rules"][0] == http_route()["spec"]["rules"][0]
        assert made.acknowledged == [(1, 1)]
        assert len(api.applied) == 1
        assert made.actuator.status.is_in_force

    run(route_rig(api, tmp_path), scenario)


def test_a_gateway_that_has_not_accepted_is_not_acknowledged(api: KubeApi, tmp_path: Path) -> None:
    """Written is not in force: the parents must have seen the generation."""

    async def scenario(made: Rig) -> None:
        api.is_accepting = False
        made.hear()
        await made.turn()
        assert made.acknowledged == []
        assert "has not seen generation 2" in made.actuator.status.trouble
        api.is_accepting = True
        api.control(api.objects[ROUTE_PATH])
        await made.turn(0.5)
        assert made.acknowledged == [(1, 1)]

    run(route_rig(api, tmp_path), scenario)


def test_a_gateway_that_never_accepts_is_told(api: KubeApi, tmp_path: Path) -> None:
    """Patience ends after half a minute; before that nothing is wrong."""

    async def scenario(made: Rig) -> None:
        api.is_accepting = False
        made.hear()
        await made.turns(29.0)
        assert made.actuator.status.failures == 0
        await made.turns(5.0)
        assert made.actuator.status.kind == "pending"
        assert "has not seen generation 2 yet, for over 30 s" in made.actuator.status.trouble
        api.is_accepting = True
        api.control(api.objects[ROUTE_PATH])
        await made.turns(30.0)
        assert (made.actuator.status.failures, made.acknowledged) == (0, [(1, 1)])

    run(route_rig(api, tmp_path), scenario)


def test_a_gateway_that_says_nothing_is_believed_where_it_is_asked_for(
    api: KubeApi, tmp_path: Path
) -> None:
    """With confirm = "spec" the object's own weights are enough."""

    async def scenario(made: Rig) -> None:
        api.is_accepting = False
        made.hear()
        await made.turn()
        assert made.acknowledged == [(1, 1)]

    run(route_rig(api, tmp_path, confirm="spec"), scenario)


def test_backends_of_one_name_are_told_apart_by_port(api: KubeApi, tmp_path: Path) -> None:
    """Two ports of one Service are two backends; without the ports it is refused."""
    kept = api.objects[ROUTE_PATH]
    backends = kept.document["spec"]["rules"][1]["backendRefs"]
    backends[1] |= {"name": "model-v1", "port": 9090}

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        assert [one["weight"] for one in backends_of(kept)] == [75, 25]
        assert made.acknowledged == [(1, 1)]

    async def refused(made: Rig) -> None:
        made.hear()
        await made.turn()
        assert "has a backend twice: name each as NAME:PORT" in made.actuator.status.trouble

    run(route_rig(api, tmp_path), refused)
    arms = {"v1": "model-v1:8080", "v2": "model-v1:9090"}
    run(route_rig(api, tmp_path, arms=arms), scenario)


def backends_of(kept: Kept) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kept.document["spec"]["rules"][1]["backendRefs"]
    return found


def test_a_conflict_is_told_with_its_cure_and_nothing_is_taken(
    api: KubeApi, tmp_path: Path
) -> None:
    """Without force the owner keeps its field, and the message names it."""

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        status = made.actuator.status
        assert status.kind == "conflict"
        for words in (".spec.rules", '"kubectl"', "force = true", "#conflicts"):
            assert words in status.trouble
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 1, "model-v2": 0}
        assert made.acknowledged == []

    run(route_rig(api, tmp_path, force=False), scenario)


def test_whoever_changed_the_rules_meanwhile_is_not_overwritten(
    api: KubeApi, tmp_path: Path
) -> None:
    """Rules are applied in the version they were read in; after 409 they are read again."""

    def between() -> None:
        rules = http_route(model_v1=1, model_v2=0)["spec"]["rules"]
        rules[0]["timeouts"] = {"request": "5s"}
        api.update(ROUTE_PATH, {"spec": {"rules": rules}}, "helm")

    async def scenario(made: Rig) -> None:
        api.before_apply = between
        made.hear()
        assert await made.turn() < 1.0
        assert made.acknowledged == []
        await made.turn(0.2)
        kept = api.objects[ROUTE_PATH]
        assert kept.document["spec"]["rules"][0]["timeouts"] == {"request": "5s"}
        assert weights_of(kept) == {"model-v1": 75, "model-v2": 25}
        assert made.acknowledged == [(1, 1)]

    run(route_rig(api, tmp_path), scenario)


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ("token", "refused", "token_file"),
        ("get", "refused", "allow the service account get and patch"),
        ("patch", "refused", "allow the service account get and patch"),
        ("gone", "missing", "correct namespace and name"),
        ("rule", "unfit", "no rule 'models'; it has 'pages'"),
        ("backends", "unfit", "no backend of any arm; it has 'model-v3'"),
        ("backend", "unfit", "arm 'v2' has the weight 0.25 and no backend"),
        ("surplus", "unfit", "backend 'model-v3', which is no arm's and has the weight 1"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_cure(
    api: KubeApi, tmp_path: Path, trouble: str, kind: str, words: str
) -> None:
    """Each is one sentence with a cure, not acknowledged, and over when its cause is."""
    kept = api.objects[ROUTE_PATH]
    backends = {
        "backends": {"model_v3": 1},
        "backend": {"model_v1": 1},
        "surplus": {"model_v1": 1, "model_v2": 0, "model_v3": 1},
    }

    def break_it() -> None:
        if trouble == "token":
            api.token = "another"  # noqa: S105 - of this test
        elif trouble in {"get", "patch"}:
            api.forbidden.add(trouble)
        elif trouble == "gone":
            del api.objects[ROUTE_PATH]
        elif trouble == "rule":
            del kept.document["spec"]["rules"][1]
        else:
            kept.document["spec"] = http_route(**backends[trouble])["spec"]

    async def scenario(made: Rig) -> None:
        break_it()
        made.hear()
        assert await made.turn() == 1.0
        status = made.actuator.status
        assert (status.kind, status.failures) == (kind, 1)
        assert words in status.trouble
        assert await made.turn(1.0) == 2.0
        assert made.acknowledged == []
        api.token, api.forbidden = KubeApi().token, set()
        kept.document["spec"] = http_route(model_v1=1, model_v2=0)["spec"]
        api.objects[ROUTE_PATH] = kept
        await made.turn(2.0)
        assert (status.failures, made.acknowledged) == (0, [(1, 1)])

    run(route_rig(api, tmp_path), scenario)


def test_waits_as_long_as_a_busy_server_asks(api: KubeApi, tmp_path: Path) -> None:
    """429 with Retry-After holds the next look back, also for news."""

    async def scenario(made: Rig) -> None:
        api.failures = [(429, {"Retry-After": "7"})]
        made.hear()
        await made.turn()
        assert made.actuator.status.kind == "busy"
        assert made.actuator._not_before_s == made.clock[0] + 7
        await made.turn(7.0)
        assert made.acknowledged == [(1, 1)]

    run(route_rig(api, tmp_path), scenario)


def test_a_server_that_is_away_is_tried_again(api: KubeApi, tmp_path: Path) -> None:
    """No answer is told, and the newest message counts when the server is back."""
    made = route_rig(api, tmp_path)
    port, api.port = api.port, 0

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.5, "v2": 0.5})
        made.actuator.place._client._server = f"http://127.0.0.1:{_free_port()}"  # type: ignore[attr-defined]
        await made.turn()
        assert made.actuator.status.kind == "unreachable"
        made.actuator.place._client._server = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
        made.hear(weights={"v1": 1.0}, seq=9)
        await made.turn(1.0)
        assert made.acknowledged == [(1, 9)]

    run(made, scenario)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_drift_is_told_and_written_over(api: KubeApi, tmp_path: Path) -> None:
    """Another writer is named once, and with force our weights come back."""

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        rules = http_route(model_v1=1, model_v2=1)["spec"]["rules"]
        api.update(ROUTE_PATH, {"spec": {"rules": rules}}, "argocd")
        await made.turn(5.0)
        assert made.actuator.status.counts["drifted"] == 1
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 75, "model-v2": 25}
        await made.turn(5.0)
        assert made.actuator.status.counts["drifted"] == 1

    run(route_rig(api, tmp_path), scenario)


def test_drift_that_may_not_be_written_over_stays_told(api: KubeApi, tmp_path: Path) -> None:
    """Without force the other writer keeps the field, and the actuator says so for as long."""
    api.objects[ROUTE_PATH].owners.clear()

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        assert made.acknowledged == [(1, 1)]
        rules = http_route(model_v1=1, model_v2=1)["spec"]["rules"]
        api.update(ROUTE_PATH, {"spec": {"rules": rules}}, "argocd")
        await made.turn(5.0)
        status = made.actuator.status
        assert (status.kind, status.counts["drifted"]) == ("conflict", 1)
        assert '"argocd"' in status.trouble

    run(route_rig(api, tmp_path, force=False), scenario)


def test_two_of_the_same_agree(api: KubeApi, tmp_path: Path) -> None:
    """A second replica writes nothing that holds already, and calls no drift what ours wrote."""

    async def scenario(made: Rig) -> None:
        other = route_rig(api, tmp_path)
        for one in (made, other):
            one.hear()
            await one.turn()
        for one in (other, made):
            one.hear(weights={"v1": 1.0}, seq=2)
            await one.turn(5.0)
        assert len(api.applied) == 2
        assert made.acknowledged == other.acknowledged == [(1, 1), (1, 2)]
        assert not made.actuator.status.counts["drifted"]
        await other.place.close()

    run(route_rig(api, tmp_path), scenario)


def test_a_cold_backend_is_warmed_step_by_step(api: KubeApi, tmp_path: Path) -> None:
    """A promotion from 0 to 100 % takes its steps, and is acknowledged when it is there."""

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.0, "v2": 1.0})
        seen = []
        for _ in range(5):
            await made.turns(10.0)
            seen.append(weights_of(api.objects[ROUTE_PATH])["model-v2"])
            assert bool(made.acknowledged) == (seen[-1] == 100)
        assert seen == [50, 75, 100, 100, 100]

    run(route_rig(api, tmp_path, warm_up=SLOWLY), scenario)


def test_a_rollback_to_a_warm_heir_is_at_once(api: KubeApi, tmp_path: Path) -> None:
    """Nothing of a broken arm stays where somebody who is warm can take over."""
    api.objects[ROUTE_PATH].document["spec"] = http_route(model_v1=10, model_v2=90)["spec"]

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 1.0, "v2": 0.0}, kind="rollback", quarantined=["v2"], seq=2)
        await made.turn()
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 100, "model-v2": 0}
        assert made.acknowledged == [(1, 2)]

    run(route_rig(api, tmp_path, warm_up=SLOWLY), scenario)


def test_a_rollback_to_a_cold_heir_takes_its_warm_up(api: KubeApi, tmp_path: Path) -> None:
    """The heir gets a step at once, is warm after one more, and then has everything."""
    api.objects[ROUTE_PATH].document["spec"] = http_route(model_v1=0, model_v2=100)["spec"]

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 1.0, "v2": 0.0}, kind="rollback", quarantined=["v2"], seq=2)
        await made.turn()
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 25, "model-v2": 75}
        assert made.acknowledged == []
        await made.turns(9.0)
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 25, "model-v2": 75}
        await made.turns(1.0)
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 100, "model-v2": 0}
        assert made.acknowledged == [(1, 2)]

    run(route_rig(api, tmp_path, warm_up=SLOWLY), scenario)


def test_an_arm_without_a_backend_holds_no_rollback_up(api: KubeApi, tmp_path: Path) -> None:
    """Its share goes to the others, it is told, and nothing is acknowledged."""
    api.objects[ROUTE_PATH].document["spec"] = http_route(model_v1=50, model_v2=50)["spec"]

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.9, "v2": 0.0, "v3": 0.1}, kind="rollback", quarantined=["v2"])
        await made.turn()
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 100, "model-v2": 0}
        assert "arm 'v3' has the weight 0.1 and no backend" in made.actuator.status.trouble
        assert made.acknowledged == []

    run(route_rig(api, tmp_path), scenario)


def test_a_rule_that_is_not_as_arms_say_holds_no_rollback_up(api: KubeApi, tmp_path: Path) -> None:
    """A backend is gone, another is nobody's: the broken arm loses its traffic all the same."""
    spec = http_route(model_v2=90, model_v1=10, other=5)["spec"]
    api.objects[ROUTE_PATH].document["spec"] = spec
    arms = {"v1": "model-v1", "v2": "model-v2", "v0": "model-v0"}

    async def scenario(made: Rig) -> None:
        weights = {"v0": 0.0, "v1": 1.0, "v2": 0.0}
        made.hear(weights=weights, kind="rollback", quarantined=["v2"], seq=2)
        await made.turn()
        kept = api.objects[ROUTE_PATH]
        assert weights_of(kept) == {"model-v2": 0, "model-v1": 100, "other": 5}
        assert "backend 'other', which is no arm's" in made.actuator.status.trouble
        assert made.acknowledged == []
        backends_of(kept)[2]["weight"] = 0
        await made.turn(1.0)
        assert made.acknowledged == [(1, 2)]

    run(route_rig(api, tmp_path, arms=arms, warm_up=SLOWLY), scenario)


def test_safe_weights_are_written_and_not_acknowledged(api: KubeApi, tmp_path: Path) -> None:
    """Silence is no message."""

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.5, "v2": 0.5})
        await made.turn()
        made.hear(weights={"v1": 0.5, "v2": 0.5}, seq=2, is_fallback=True)
        await made.turn()
        assert weights_of(api.objects[ROUTE_PATH]) == {"model-v1": 100, "model-v2": 0}
        assert made.acknowledged == [(1, 1)]

    run(route_rig(api, tmp_path), scenario)


def test_a_dry_run_reads_and_shows_and_writes_nothing(api: KubeApi, tmp_path: Path) -> None:
    """The request is shown once, whole."""

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        await made.turn(5.0)
        (shown,) = made.shown
        assert "v1 75 %, v2 25 % (now v1 100 %, v2 0 %)" in shown
        assert f"PATCH {ROUTE_PATH}" in shown
        assert '"weight":75' in shown
        assert {method for method, _ in api.asked} == {"GET"}
        assert made.acknowledged == []

    run(route_rig(api, tmp_path, is_dry=True), scenario)


def test_kserve_gets_its_canary_and_says_how_traffic_is_split(api: KubeApi, tmp_path: Path) -> None:
    """One field is applied; the status decides what is acknowledged."""
    api.create(SERVICE_PATH, inference_service())

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.8, "v2": 0.2})
        await made.turn()
        assert api.applied[0]["spec"] == {"predictor": {"canaryTrafficPercent": 20}}
        assert made.acknowledged == [(1, 1)]
        api.is_accepting = False
        made.hear(weights={"v1": 1.0, "v2": 0.0}, kind="rollback", seq=2)
        await made.turn()
        assert "still has 20 %" in made.actuator.status.trouble
        api.is_accepting = True
        api.control(api.objects[SERVICE_PATH])
        await made.turn(0.5)
        assert made.acknowledged == [(1, 1), (1, 2)]

    run(service_rig(api, tmp_path), scenario)


def test_kserve_with_another_latest_revision_is_left_alone(api: KubeApi, tmp_path: Path) -> None:
    """A newer model must not get the share of the arm that was meant."""
    api.create(SERVICE_PATH, inference_service(percent=10))

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        assert "is 'm-00002', not 'm-00007'" in made.actuator.status.trouble
        assert api.applied == []

    run(service_rig(api, tmp_path, latest_revision="m-00007"), scenario)


def test_page_of_metrics_has_what_is_documented(api: KubeApi, tmp_path: Path) -> None:
    """Every name on it stands in docs/actuators.md, and its values are those of the moment."""

    async def scenario(made: Rig) -> None:
        made.hear()
        await made.turn()
        api.forbidden.add("get")
        await made.turn(5.0)
        page = make_page([made.actuator]).decode()
        served = set(re.findall(r"^(leverframe_\w+)\{", page, re.MULTILINE))
        text = (ROOT / "docs" / "actuators.md").read_text(encoding="utf-8")
        assert served == set(re.findall(r"`(leverframe_actuator_\w+)`", text))
        told = 'actuator="checkout"'
        assert f'leverframe_actuator_share{{{told},arm="v1",route="checkout"}} 0.75' in page
        assert f'leverframe_actuator_failing{{{told},kind="refused",route="checkout"}} 1.0' in page
        assert f'leverframe_actuator_events_total{{{told},what="written"}} 1.0' in page
        assert f'leverframe_actuator_failures_total{{{told},kind="refused"}} 1.0' in page

    run(route_rig(api, tmp_path), scenario)


def test_news_are_looked_at_at_once(api: KubeApi, tmp_path: Path) -> None:
    """The loop sleeps for as long as it may, and a message wakes it."""

    async def scenario(made: Rig) -> None:
        following = asyncio.create_task(made.actuator.follow())
        made.hear()
        await eventually(lambda: is_acknowledged(1), "the first message")
        made.hear(weights={"v1": 1.0}, seq=2)
        await eventually(lambda: is_acknowledged(2), "the second message")
        await end_task(following)

    made = route_rig(api, tmp_path, check_s=3600.0)

    async def is_acknowledged(seq: int) -> bool:
        return (1, seq) in made.acknowledged

    run(made, scenario)
