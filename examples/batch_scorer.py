"""Scores a CSV, each row by the arm that Leverframe's weights draw for its id.

``python -m examples.models | python -m examples.batch_scorer biopsy --output answers.csv``
"""

import argparse
import asyncio
import csv
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from examples.common import BROKER, KEY, PREFIX, answering, record_of
from examples.models import FEATURES, MODELS, ask
from leverframe.schemas.codec import encode
from leverframe.schemas.prediction import Prediction
from leverframe.serving.assigner import Assigner
from leverframe.serving.routing import InForce
from leverframe.serving.subscriber import ThreadSubscriber

CHUNK = 500
PROGRESS_S = 2.0


Drawn = list[tuple[str, float | None]]


def score(rows: Sequence[dict[str, str]], state: InForce, prefix: str) -> list[Prediction]:
    """Draw an arm for each row, then let each arm's model answer all of its rows at once."""
    assigner = Assigner(state.weights, state.message.salt)
    drawn: Drawn = [answering(assigner.assign(row["id"])[0], state, MODELS) for row in rows]
    return answers_of(rows, drawn, state, prefix)


def score_in_shadow(
    rows: Sequence[dict[str, str]],
    served: Sequence[Prediction],
    routing: ThreadSubscriber,
    state: InForce,
    prefix: str,
) -> list[Prediction]:
    """Let the other arms answer those rows that are drawn for it."""
    route = state.message.route
    asked = [
        (row, arm)
        for row, one in zip(rows, served, strict=True)
        for arm in routing.shadows(route, one.request_id, one.arm)
        if arm in MODELS
    ]
    drawn: Drawn = [(arm, None) for _, arm in asked]
    return answers_of([row for row, _ in asked], drawn, state, prefix)


def answers_of(
    rows: Sequence[dict[str, str]], drawn: Drawn, state: InForce, prefix: str
) -> list[Prediction]:
    """Let each arm's model answer all of its rows at once."""
    questions: dict[str, list[list[float]]] = {}
    for row, (arm, _) in zip(rows, drawn, strict=True):
        questions.setdefault(arm, []).append([float(row[name]) for name in FEATURES])
    answers = {arm: iter(ask(arm, features)) for arm, features in questions.items()}
    return [
        record_of(prefix + row["id"], arm, next(answers[arm]), propensity, state)
        for row, (arm, propensity) in zip(rows, drawn, strict=True)
    ]


async def run(options: argparse.Namespace, routing: ThreadSubscriber) -> None:
    """Score by chunks, each by the newest weights; what is written was acknowledged by Kafka."""
    rows = csv.DictReader(options.input)
    if missing := {"id", *FEATURES} - set(rows.fieldnames or ()):
        raise LookupError(f"the input has no column {', '.join(sorted(missing))}")
    output = csv.writer(options.output, lineterminator="\n")
    output.writerow(["id", "arm", "prediction"])
    served: Counter[str] = Counter()
    expected: dict[str, float] = {}
    said_s = time.monotonic()
    async with AIOKafkaProducer(bootstrap_servers=BROKER, linger_ms=5) as producer:
        while chunk := list(islice(rows, CHUNK)):
            state = routing.in_force(options.route)
            if state is None or not state.weights:
                raise LookupError(f"no weights yet: leverframe arm register {options.route} ARM")
            predictions = score(chunk, state, options.prefix)
            shadows = score_in_shadow(chunk, predictions, routing, state, options.prefix)
            sending = [
                await producer.send(f"{PREFIX}predictions", encode(one), one.request_id.encode())
                for one in [*predictions, *shadows]
            ]
            await asyncio.gather(*sending)
            for row, one in zip(chunk, predictions, strict=True):
                output.writerow([row["id"], one.arm, one.prediction])
            served.update(one.arm for one in predictions)
            for arm, share in state.weights.items():
                expected[arm] = expected.get(arm, 0) + share * len(chunk)
            if time.monotonic() - said_s > PROGRESS_S:
                said_s = time.monotonic()
                print(f"{served.total():,} rows", file=sys.stderr)
    summary(served, expected)


def summary(served: Counter[str], expected: dict[str, float]) -> None:
    """Print rows by arm beside the mean of the weights that held."""
    total = max(served.total(), 1)
    print(f"{'arm':16}{'rows':>10}{'share':>9}{'weight':>9}", file=sys.stderr)
    for arm in sorted(served.keys() | expected.keys()):
        weight = expected.get(arm, 0) / total
        line = f"{arm:16}{served[arm]:>10,}{served[arm] / total:>9.3f}{weight:>9.3f}"
        print(line, file=sys.stderr)


def main() -> None:
    """Read the command line; exit code 1 and the reason when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("route", help="such as biopsy")
    parser.add_argument("input", nargs="?", type=argparse.FileType(), default="-")
    parser.add_argument("--output", type=argparse.FileType("w"), default="-")
    parser.add_argument(
        "--prefix", default="", help="before each id: one for each run, if ids recur"
    )
    options = parser.parse_args()
    # No acknowledgements: they are for those who go on following. A thread, because scoring would
    # keep an event loop from hearing of a rollback.
    routing = ThreadSubscriber(BROKER, control=f"{PREFIX}control", key=KEY)
    try:
        routing.start()
        asyncio.run(run(options, routing))
    except (KafkaError, LookupError, OSError, ValueError) as error:
        sys.exit(f"batch_scorer: {error}")
    finally:
        routing.stop()


if __name__ == "__main__":
    main()
