"""The job of the contender ``faust``: records, tables and ``topic.send``, one event at a time."""

# Run as a script: its folder is on the path, the repository is not.
# mypy: disable-error-code="import-not-found"

import sys
from typing import Any

import faust
from arguments import Arguments, read_arguments


class Prediction(faust.Record, serializer="json", include_metadata=False):
    """A served request."""

    request_id: str
    route: str
    arm: str
    prediction: int
    propensity: float


class Label(faust.Record, serializer="json", include_metadata=False):
    """Its outcome."""

    request_id: str
    label: int


class Reward(faust.Record, serializer="json", include_metadata=False):
    """What the label says about the prediction."""

    request_id: str
    route: str
    arm: str
    reward: float
    propensity: float


def build(job: Arguments) -> Any:
    """Return the application: two agents that join, and one that counts."""
    app: Any = faust.App(
        job.name,
        broker=f"kafka://{job.servers}",
        datadir=job.folder,
        store="rocksdb://?driver=rocksdict",
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=16_384,
        producer_linger_ms=5,
        autodiscover=False,
    )
    rewards = app.topic(job.rewards, key_type=str, key_serializer="raw", value_type=Reward)
    add_join(app, job, rewards)
    add_totals(app, job, rewards)
    return app


def add_join(app: Any, job: Arguments, rewards: Any) -> None:
    """Add the agents that join predictions with labels, whichever comes first."""
    predictions = app.topic(job.predictions, key_type=str, value_type=Prediction)
    labels = app.topic(job.labels, key_type=str, value_type=Label)
    waiting = app.Table("waiting", value_type=Prediction, partitions=job.partitions)
    early = app.Table("early", value_type=Label, partitions=job.partitions)

    async def reward(prediction: Any, label: Any) -> None:
        await rewards.send(
            key=f"{prediction.route}/{prediction.arm}".encode(),
            value=Reward(
                request_id=prediction.request_id,
                route=prediction.route,
                arm=prediction.arm,
                reward=1.0 if prediction.prediction == label.label else 0.0,
                propensity=prediction.propensity,
            ),
        )

    @app.agent(predictions)  # type: ignore[untyped-decorator]
    async def take_predictions(stream: Any) -> None:
        async for prediction in stream:
            label = early.get(prediction.request_id)
            if label is None:
                waiting[prediction.request_id] = prediction
            else:
                early.pop(prediction.request_id)
                await reward(prediction, label)

    @app.agent(labels)  # type: ignore[untyped-decorator]
    async def take_labels(stream: Any) -> None:
        async for label in stream:
            prediction = waiting.get(label.request_id)
            if prediction is None:
                early[label.request_id] = label
            else:
                waiting.pop(label.request_id)
                await reward(prediction, label)


def add_totals(app: Any, job: Arguments, rewards: Any) -> None:
    """Add the agent that counts the rewards of each arm."""
    aggregates = app.topic(job.aggregates, key_serializer="raw", value_serializer="json")
    totals = app.Table("totals", partitions=2)

    @app.agent(rewards)  # type: ignore[untyped-decorator]
    async def take_rewards(stream: Any) -> None:
        async for each in stream:
            arm = f"{each.route}/{each.arm}"
            known = totals.get(arm) or {"count": 0, "sum": 0.0}
            totals[arm] = {"count": known["count"] + 1, "sum": known["sum"] + each.reward}
            await aggregates.send(key=arm.encode(), value=totals[arm])


if __name__ == "__main__":
    application = build(read_arguments())
    sys.argv[1:] = ["worker", "--loglevel=warn", "--without-web"]
    application.main()
