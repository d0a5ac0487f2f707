"""A model server whose traffic Leverframe steers: ``uvicorn examples.model_server:app``.

It draws the arm of each request by the weights of the ``control`` topic, answers at once, and tells
the job on ``predictions`` what it answered.
"""

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, Field, FiniteFloat

from examples.common import BROKER, KEY, PREFIX, answering, record_of
from examples.models import MODELS, ask
from leverframe.schemas.codec import encode
from leverframe.schemas.prediction import Prediction
from leverframe.serving.routing import InForce
from leverframe.serving.subscriber import Subscriber

log = logging.getLogger("uvicorn.error")  # the logger that uvicorn shows
since: dict[str, datetime] = {}  # by route: from when on its weights hold
unsent: set[asyncio.Task[None]] = set()
REPLICA = f"{socket.gethostname()}-{os.getpid()}"
routing = Subscriber(
    BROKER,
    control=f"{PREFIX}control",
    acks=f"{PREFIX}control-acks",
    replica=REPLICA,
    key=KEY,
    shadows_per_s=200.0,
    on_rollback=lambda news: log.error("ROLLBACK on %s: %s", news.route, news.cause),
    on_weights=lambda state: since.update({state.message.route: datetime.now(UTC)}),
)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Follow ``control`` while the server runs; at its end send what is left."""
    async with AIOKafkaProducer(bootstrap_servers=BROKER) as app.state.producer, routing:
        yield
        await asyncio.gather(*unsent)


app = FastAPI(title="A model server whose traffic Leverframe steers", lifespan=lifespan)


class Question(BaseModel):
    """Body of a request; those with one ``unit_id``, such as a user's, get one arm."""

    features: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    unit_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None


@app.post("/predict/{route}")
async def predict(route: str, question: Question) -> dict[str, Any]:
    """Answer, and say which arm did; a label on ``ground-truth`` names the ``request_id``."""
    request_id = uuid.uuid4().hex
    state = known(route)
    drawn = routing.assign(route, question.unit_id or request_id)
    if drawn is None:
        raise HTTPException(503, f"no arm may answer on {route!r}")
    try:
        arm, propensity = answering(drawn[0], state, MODELS)
    except LookupError as error:
        raise HTTPException(503, str(error)) from error
    # For a model that takes longer than these: await asyncio.to_thread(ask, ...).
    answer = ask(arm, [question.features])[0]
    said = record_of(request_id, arm, answer, propensity, state, question.unit_id, REPLICA)
    beside(send(said))
    if others := [one for one in routing.shadows(route, request_id, arm) if one in MODELS]:
        beside(answer_in_shadow(others, question.features, request_id, state))
    return {"request_id": request_id, "arm": arm, "prediction": answer, "propensity": propensity}


def beside(work: Coroutine[Any, Any, None]) -> None:
    """Let something be done after the answer, off the request's path."""
    task = asyncio.create_task(work)
    unsent.add(task)  # else nothing holds it, and Python may collect it
    task.add_done_callback(unsent.discard)


async def answer_in_shadow(
    arms: list[str], features: list[float], request_id: str, state: InForce
) -> None:
    """Let other arms answer too: its label will judge them on the same request."""
    for arm in arms:
        answer = (await asyncio.to_thread(ask, arm, [features]))[0]
        await send(record_of(request_id, arm, answer, None, state))


async def send(prediction: Prediction) -> None:
    """Tell the job, beside the answering; after 40 s without Kafka the record is given up."""
    key, value = prediction.request_id.encode(), encode(prediction)
    try:
        await app.state.producer.send_and_wait(f"{PREFIX}predictions", value, key=key)
    except KafkaError as error:
        log.warning("the prediction %s is lost: %r", prediction.request_id, error)


def known(route: str) -> InForce:
    """Return what holds for a route, or answer 404."""
    if state := routing.in_force(route):
        return state
    raise HTTPException(404, f"nothing is known of {route!r}: leverframe arm register ROUTE ARM")


@app.get("/routing/{route}")
async def routing_of(route: str) -> dict[str, Any]:
    """Say what holds for a route, and since when."""
    state = known(route)
    return {
        "weights": state.weights,
        "safe_weights_in_force": state.is_fallback,
        "epoch": state.message.epoch,
        "seq": state.message.seq,
        "champion": state.message.champion,
        "since": since.get(route),
    }


@app.get("/health")
async def health(response: Response) -> dict[str, Any]:
    """Answer 503 when ``control`` is not followed or a route has fallen back on safe weights."""
    states = [known(route) for route in routing.table.routes]
    silent = {s.message.route: s.message.ttl_ms / 1000 for s in states if s.is_fallback}
    response.status_code = 200 if routing.is_healthy else 503
    why = {route: f"nothing heard of the job for {ttl_s:g} s" for route, ttl_s in silent.items()}
    return {"healthy": routing.is_healthy, "safe_weights": why}
