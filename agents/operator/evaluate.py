"""Reads what was recorded of a route, and evaluates another policy on it."""

from collections.abc import Callable

from aiokafka.errors import KafkaError

from leverframe.agents.operator.replay import read_partition
from leverframe.agents.operator.topics import unreadable
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.learning.counterfactual import Answer, evaluate_records
from leverframe.streams.routes.route import Route
from leverframe.streams.routes.settings import NamedParams

__all__ = ["evaluate_route"]


async def evaluate_route(
    settings: Settings,
    name: str,
    route: Route,
    policy: NamedParams,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Answer:
    """Read what was recorded of a route, and evaluate a policy on it.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    name : str
        Of the route.
    route : Route
        Its settings.
    policy : NamedParams
        The policy in question.
    report : callable
        Called with the number of records folded since its last call, and the number of all.

    Returns
    -------
    Answer
        The estimates, and what they stand on.

    Raises
    ------
    BrokerError
        If no broker answers.
    LeverframeError
        If nothing was recorded of the route, or an error of ``evaluate_records``.
    """
    try:
        records = await read_partition(settings, name)
    except (KafkaError, OSError) as error:
        raise unreadable(settings.topic_names.rewards, settings.broker.servers, error) from error
    if not records:
        raise LeverframeError(
            f"nothing was recorded for route {name!r}: `leverframe status` lists the routes that "
            "have rewards, `leverframe doctor` says why there may be none"
        )
    return evaluate_records(
        records,
        name,
        route,
        policy,
        rewards_topic=settings.topic_names.rewards,
        max_value_bytes=settings.app.max_value_bytes,
        report=lambda done: report(done, len(records)),
    )
