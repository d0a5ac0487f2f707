"""The job of the contender ``quix``: run by an interpreter that has quixstreams."""

# Run by an interpreter of its own, with packages that ours does not have.
# mypy: disable-error-code="import-not-found"

import ctypes
import signal
from contextlib import suppress
from multiprocessing import Process
from typing import Any

import orjson
from arguments import Arguments, read_arguments
from quixstreams import Application

PR_SET_PDEATHSIG = 1


def join(value: bytes, state: Any) -> list[dict[str, Any]]:
    """Keep the half that comes first; return the reward when both are there."""
    half = orjson.loads(value)
    if "arm" in half:
        mine, other = "prediction", "label"
    else:
        mine, other = "label", "prediction"
    found = state.get(other)
    if found is None:
        state.set(mine, half)
        return []
    state.delete(other)
    prediction, label = (half, found) if mine == "prediction" else (found, half)
    return [
        {
            "request_id": prediction["request_id"],
            "route": prediction["route"],
            "arm": prediction["arm"],
            "reward": 1.0 if prediction["prediction"] == label["label"] else 0.0,
            "propensity": prediction["propensity"],
        }
    ]


def count(reward: bytes, state: Any) -> dict[str, Any]:
    """Add one reward to its arm's totals."""
    totals = state.get("totals") or {"count": 0, "sum": 0.0}
    totals = {
        "count": totals["count"] + 1,
        "sum": totals["sum"] + orjson.loads(reward)["reward"],
    }
    state.set("totals", totals)
    return totals


def application(job: Arguments, name: str) -> Any:
    """Return an application that commits each second: the default of 5 s shows output as late."""
    return Application(
        broker_address=job.servers,
        consumer_group=f"{job.name}-{name}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        state_dir=f"{job.folder}/{name}",
        consumer_poll_timeout=0.05,
        consumer_extra_config={"queued.min.messages": 200_000, "fetch.wait.max.ms": 20},
        producer_extra_config={"linger.ms": 50, "batch.size": 1 << 20},
        loglevel="WARNING",
    )


def topic(app: Any, name: str, serializer: str = "bytes") -> Any:
    """Declare a topic whose values are read as bytes."""
    return app.topic(
        name,
        key_deserializer="str",
        value_deserializer="bytes",
        key_serializer="str",
        value_serializer=serializer,
    )


def join_halves(job: Arguments) -> None:
    """Run the join until terminated."""
    app = application(job, "join")
    predictions = app.dataframe(topic(app, job.predictions))
    halves = predictions.concat(app.dataframe(topic(app, job.labels)))
    joined = halves.apply(join, stateful=True, expand=True)
    rewards = topic(app, job.rewards, "json")
    joined.to_topic(rewards, key=lambda reward: f"{reward['route']}/{reward['arm']}")
    app.run()


def count_rewards(job: Arguments) -> None:
    """Run the totals until terminated, or until the join has ended."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    app = application(job, "totals")
    totals = app.dataframe(topic(app, job.rewards)).apply(count, stateful=True)
    totals.to_topic(topic(app, job.aggregates, "json"))
    app.run()


def main() -> None:
    """Run both, each in a process of its own: in one, reading rewards would hold the join up."""
    job = read_arguments()
    totals = Process(target=count_rewards, args=(job,), daemon=True)
    totals.start()
    join_halves(job)
    totals.terminate()
    totals.join(10)


if __name__ == "__main__":
    main()
