"""Conversations with a language model: each turn asks the model that Leverframe's weights draw.

``python -m examples.chat assistant --conversations 200``, beside ``examples.model_gateway``. At
the end the user says whether it helped: one label, which the route shares among the turns. A judge
scores the conversation, too; that moves no weight.
"""

import argparse
import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from examples.common import BROKER, KEY, PREFIX
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber

TURNS = 3


def complete(gateway: str, model: str, question: str) -> tuple[str, int]:
    """Return a model's answer, and how many tokens it took."""
    said = {"model": model, "messages": [{"role": "user", "content": question}]}
    request = urllib.request.Request(  # noqa: S310 - http, as given
        f"{gateway}/v1/chat/completions",
        json.dumps(said).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        told: Any = json.load(answer)
    return told["choices"][0]["message"]["content"], told["usage"]["completion_tokens"]


async def turn(
    options: argparse.Namespace, routing: Subscriber, session: str, number: int
) -> tuple[Prediction, str]:
    """Let the drawn model answer one turn; return the record of it, and the answer."""
    request_id = f"{session}/{number}"
    assigned = routing.assign(options.route, request_id)
    if assigned is None:
        raise LookupError(f"no weights yet: leverframe arm register {options.route} helper-1")
    arm, propensity, message = assigned
    began = time.monotonic()
    question = f"question {number} of {session}"
    text, tokens = await asyncio.to_thread(complete, options.gateway, arm, question)
    took_ms = 1000 * (time.monotonic() - began)
    prediction = Prediction(
        request_id=request_id,
        session_id=session,
        route=options.route,
        arm=arm,
        prediction=1,
        propensity=propensity,
        epoch=message.epoch,
        seq=message.seq,
        metrics={"latency_ms": took_ms, "tokens": tokens},
    )
    return prediction, text


def verdicts(session: str, answers: list[str]) -> list[GroundTruth]:
    """The user's thumb on the last answer, and what a judge makes of all."""
    helped = [answer.startswith("About") for answer in answers]
    score = sum(helped) / len(helped)
    return [
        GroundTruth(request_id=session, session_id=session, label=int(helped[-1])),
        GroundTruth(request_id=session, session_id=session, label=score, judge=True),
    ]


async def run(options: argparse.Namespace) -> None:
    """Hold conversations one after the other."""
    routing = Subscriber(BROKER, control=f"{PREFIX}control", key=KEY)
    producer = AIOKafkaProducer(bootstrap_servers=BROKER, linger_ms=5)
    async with routing, producer:
        for number in range(options.conversations):
            session, answers = f"{options.prefix}{number}", []
            # The key is the session, so that all of it meets in one partition.
            for at in range(TURNS):
                prediction, text = await turn(options, routing, session, at)
                answers.append(text)
                topic = f"{PREFIX}predictions"
                await producer.send_and_wait(topic, encode(prediction), session.encode())
            for label in verdicts(session, answers):
                topic = f"{PREFIX}ground-truth"
                await producer.send_and_wait(topic, encode(label), session.encode())
        state = routing.in_force(options.route)
    print(json.dumps({} if state is None else state.weights))


def main() -> None:
    """Read the command line; exit code 1 and the reason when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("route", help="such as assistant")
    parser.add_argument("--gateway", default="http://127.0.0.1:8017")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--prefix", default="chat-", help="of session ids; another for each run")
    try:
        asyncio.run(run(parser.parse_args()))
    except (KafkaError, LookupError, OSError, urllib.error.URLError) as error:
        sys.exit(f"chat: {error}")


if __name__ == "__main__":
    main()
