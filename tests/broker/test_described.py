"""What is described is what is answered: ours at /openapi.json, and the protocol's own words."""

import asyncio
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
import yaml
from asking import control_message
from gateways import Gateway, publish
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from leverframe.agents.gateway.openapi import openapi_document

pytestmark = pytest.mark.broker

PROTOCOL = Path(__file__).parent.parent / "specs" / "ofrep-openapi.yaml"
FEW, MANY = 4, 100
BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
TOKEN = "0123456789abcdef"  # noqa: S105 - of this test
WHOLE = {"epoch", "seq", "predicted_at_ms", "labelled_at_ms", "schema_version"}
ROUTES = [
    control_message("checkout", {"a": 0.5, "b": 0.5}, shadow_share=0.5, shadow_arms=["a", "b"]),
    control_message("search", {"c": 1.0}, ttl_ms=3_600_000),
    control_message("empty", {}),
]


def protocol() -> dict[str, Any]:
    """The protocol's description, with what it leaves open.

    - Each value also fits ``codeDefaultFlag``, which states nothing, so that ``oneOf`` refuses all
      of them; a whole number is a float too. Both say now what they mean.
    - It bounds no ``targetingKey``; ours has 1 to 128 characters, since it is logged.
    - A gateway has three statuses more: 413, 415, 421.
    """
    found: dict[str, Any] = yaml.safe_load(PROTOCOL.read_text("utf-8"))
    schemas = found["components"]["schemas"]
    schemas["codeDefaultFlag"]["not"] = {"required": ["value"]}
    schemas["floatFlag"]["properties"]["value"]["not"] = {"type": "integer"}
    schemas["context"]["properties"]["targetingKey"] |= {"minLength": 1, "maxLength": 128}
    for path in found["paths"].values():
        path["post"]["responses"]["413"] = {"description": "Too large."}
    return found


def without_fractions(document: Any) -> Any:
    """To JSON Schema 7.0 is an integer; the job refuses it where it counts or tells a time."""
    if isinstance(document, list):
        return [without_fractions(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        name: int(each) if name in WHOLE and isinstance(each, float) and each.is_integer() else each
        for name, each in document.items()
    }


@pytest.fixture
def gateway(deploy: Callable[..., Any]) -> str:
    async def begin() -> Any:
        deployment = await deploy()
        await publish(deployment, *ROUTES)
        return deployment

    return Gateway(asyncio.run(begin()), LEVERFRAME_GATEWAY__TOKEN=TOKEN).wait().url


def ask(
    document: dict[str, Any], url: str, examples: int, routes: str, modes: Sequence[GenerationMode]
) -> set[str]:
    """Ask whatever the description allows, and what it does not; return the operations asked."""
    asked = set()
    schemes = document["components"]["securitySchemes"]
    # One way to show the token, by which it is shown here.
    document["security"] = [{name: []} for name in schemes if schemes[name]["type"] == "http"]
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        if operation.path == "/ofrep/v1/events":
            continue  # it does not end
        for mode in modes:
            cases = operation.as_strategy(generation_mode=mode)
            try:
                ask_one(cases, url, examples, routes)
            except hypothesis.errors.Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # nothing can be wrong without a field
        asked.add(operation.label)
    return asked


def ask_one(cases: Any, url: str, examples: int, routes: str) -> None:
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases)
    def one(case: Any) -> None:
        if routes in case.path_parameters:
            # Of what is drawn at random no route has the name.
            names = [message.route for message in ROUTES]
            case.path_parameters[routes] = names[len(str(case.body)) % len(names)]
        case.body = without_fractions(case.body)
        # What we do not know of in a query is left out, as the protocol asks of both sides.
        unknown = set(case.query) - {"flagConfigEtag", "flagConfigLastModified"}
        case.call_and_validate(
            base_url=url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            excluded_checks=[negative_data_rejection] if unknown else [],
        )

    one()


@pytest.mark.parametrize(
    ("examples", "modes"), [(FEW, BOTH[:1]), pytest.param(MANY, BOTH, marks=pytest.mark.drill)]
)
def test_our_description_is_true(
    gateway: str, examples: int, modes: Sequence[GenerationMode]
) -> None:
    """Status, headers, media types and documents of each answer are those that are described."""
    asked = ask(
        copy.deepcopy(openapi_document(needs_token=True)), gateway, examples, "route", modes
    )
    assert len(asked) == 8


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.drill)])
def test_the_protocol_is_kept(gateway: str, examples: int) -> None:
    """Answers are what OpenFeature's own description of the protocol says.

    Only to what it allows: a wrong value of a query that we do not read is no fault to us.
    """
    assert len(ask(protocol(), gateway, examples, "key", BOTH[:1])) == 2
