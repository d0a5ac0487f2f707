"""Off-policy evaluation of what a real worker recorded on a real broker."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from click.testing import CliRunner, Result
from harness import Deployment, Script, produce, wait_for_rewards

from leverframe.agents.cli.evaluate import evaluate
from leverframe.agents.operator import evaluate as evaluation
from leverframe.agents.operator.evaluate import evaluate_route
from leverframe.policies.evaluation.logged import MissingPropensityError
from leverframe.schemas.codec import encode
from leverframe.schemas.errors import BrokerError, LeverframeError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.learning.counterfactual import Answer
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.routes.settings import NamedParams

pytestmark = pytest.mark.broker

SHARES = (0.5, 0.3, 0.2)
RIGHT = (0.4, 0.5, 0.8)


@dataclass(frozen=True)
class Uneven(Script):
    """One route whose arms are right at known rates, served by known unequal chances."""

    has_propensity: bool = True

    def events(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield pairs; each label comes 20 pairs after its prediction."""
        rng = random.Random(self.seed)
        late: list[tuple[str, bytes, bytes]] = []
        for i in range(self.pairs):
            request_id = f"{self.seed}-{i}"
            arm = rng.choices(range(3), SHARES)[0]
            x = rng.gauss(0, 1)
            prediction = Prediction(
                request_id=request_id,
                route="route-0",
                arm=f"arm-{arm}",
                prediction=1,
                propensity=SHARES[arm] if self.has_propensity else None,
                context=[1.0, x],
            )
            label = GroundTruth(request_id=request_id, label=int(rng.random() < RIGHT[arm]))
            yield "predictions", request_id.encode(), encode(prediction)
            late.append(("ground-truth", request_id.encode(), encode(label)))
            if len(late) > 20:
                yield late.pop(0)
        yield from late


async def answered(deployment: Deployment, policy: NamedParams, name: str = "route-0") -> Answer:
    route = compile_routes(deployment.settings.routes).get(name)
    assert route is not None
    return await evaluate_route(deployment.settings, name, route, policy)


def run(deployment: Deployment, *arguments: str) -> Result:
    return CliRunner().invoke(evaluate, arguments, env=deployment.environment)


async def logged(deploy: Callable[..., Any], script: Script) -> Deployment:
    # Of a short recording the way out of the nursery would be a third.
    deployment: Deployment = await deploy(**{"LEVERFRAME_ROUTES__*__NURSERY_LABELS": "10"})
    deployment.start()
    await produce(deployment, script, per_second=3000)
    rewards = await wait_for_rewards(deployment, script.pairs)
    assert len(rewards) == script.pairs
    return deployment


def test_evaluate_says_what_another_policy_would_have_earned(deploy: Callable[..., Any]) -> None:
    """From a topic that a worker wrote: every interval holds the truth, the command prints it."""
    deployment = asyncio.run(logged(deploy, Uneven(pairs=4000, seed=41)))
    static = asyncio.run(answered(deployment, NamedParams(name="newest")))
    assert static.rewards == 4000
    assert static.too_early < 400
    assert static.why_no_dr == ""
    greedy = NamedParams(name="epsilon_greedy", params={"epsilon": 0.02})
    found = asyncio.run(answered(deployment, greedy)).evaluation
    served = sum(share * right for share, right in zip(SHARES, RIGHT, strict=True))
    assert found.logged.low <= served <= found.logged.high
    assert found.dr is not None
    # Nearly all on the best arm, but for the floor and the way there.
    for estimate in (found.ips, found.snips, found.dr):
        assert estimate.high > 0.75
        assert estimate.low < 0.8
        assert estimate.low > found.logged.high
    asked = ("route-0", "--policy", "epsilon_greedy", "--params", '{"epsilon": 0.02}')
    told = json.loads(run(deployment, *asked, "--json").stdout)
    assert told["evaluation"]["snips"]["value"] == pytest.approx(found.snips.value)
    table = run(deployment, *asked)
    assert table.exit_code == 0
    for word in ("logged, as served", "IPS", "SNIPS", "doubly robust", f"{found.snips.low:.4f}"):
        assert word in table.stdout


def test_evaluate_refuses_what_it_cannot_answer(deploy: Callable[..., Any]) -> None:
    """No propensities, no record, no JSON: each is one clear refusal."""
    deployment = asyncio.run(logged(deploy, Uneven(pairs=300, seed=42, has_propensity=False)))
    refused = run(deployment, "route-0", "--policy", "ucb")
    assert isinstance(refused.exception, MissingPropensityError)
    assert refused.exception.exit_code == 1
    assert "100.0% of" in str(refused.exception)
    with pytest.raises(LeverframeError, match="nothing was recorded for route 'other'"):
        asyncio.run(answered(deployment, NamedParams(name="ucb"), "other"))
    assert "must be a JSON object" in run(deployment, "r", "-p", "ucb", "--params", "[]").output
    assert "no JSON" in run(deployment, "r", "-p", "ucb", "--params", "{").output


def test_evaluate_names_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where it looked and what to set."""

    async def fail(*_: Any) -> list[Any]:
        raise KafkaConnectionError

    monkeypatch.setattr(evaluation, "read_partition", fail)
    told = CliRunner().invoke(evaluate, ["r", "-p", "ucb"], env={"LEVERFRAME_BROKER": "nowhere:1"})
    assert isinstance(told.exception, BrokerError)
    assert "nowhere:1" in str(told.exception)
