"""A service that decides through OpenFeature, and knows of Leverframe only the gateway's address.

For each request id on standard input it asks which model version answers, lets it answer, reports
the prediction, and prints what it did. ``examples/decide.mjs`` is the same for Node::

    seq 5 | python -m examples.decide http://127.0.0.1:8016 greeting
"""

import json
import sys
from urllib.request import Request, urlopen

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

FIRST = "v1"


def report(gateway: str, prediction: dict[str, object]) -> None:
    """Hand a prediction over; it is durable once this returns."""
    body = json.dumps(prediction).encode()
    urlopen(  # noqa: S310 - the address is the user's own
        Request(  # noqa: S310 - likewise
            f"{gateway}/v1/predictions", body, {"content-type": "application/json"}
        )
    ).close()


def answer(client: OpenFeatureClient, gateway: str, route: str, request_id: str) -> str:
    """Answer one request; return the model version that did."""
    # Without a gateway the default answers: FIRST. What was not drawn has no propensity.
    found = client.get_string_details(route, FIRST, EvaluationContext(request_id))
    logged = {
        name: found.flag_metadata[name]
        for name in ("propensity", "epoch", "seq")
        if name in found.flag_metadata
    }
    prediction = {"request_id": request_id, "route": route, "arm": found.value, "prediction": 1}
    report(gateway, prediction | logged)
    return found.value


def main() -> None:
    """Answer until standard input ends."""
    gateway, route = sys.argv[1:]
    api.set_provider(OFREPProvider(gateway))
    client = api.get_client()
    for line in sys.stdin:
        request_id = line.strip()
        arm = answer(client, gateway, route, request_id)
        sys.stdout.write(f"{request_id} {arm}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
