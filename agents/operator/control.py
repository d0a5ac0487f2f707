"""What the commands share that read control messages."""

from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from leverframe.agents.operator.topics import unreadable
from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.runtime.kafka import client_options

__all__ = ["newest_messages", "subscriber"]


def subscriber(settings: Settings, **options: Any) -> Subscriber:
    """Return a subscriber of the settings' control topic.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    **options : object
        As for ``Subscriber``.

    Returns
    -------
    Subscriber
        Not yet started.
    """
    kafka = dict(client_options(settings.broker))
    return Subscriber(
        kafka.pop("bootstrap_servers"),
        control=settings.topic_names.control,
        key=settings.control_keys,
        options=kafka,
        **options,
    )


async def newest_messages(
    settings: Settings, hear: Callable[[ControlMessage], None] | None = None
) -> dict[str, ControlMessage]:
    """Read the control topic to its end; return the newest message of each route, by route.

    ``hear`` is called with every message on the way, partition by partition.
    """
    try:
        async with subscriber(settings, on_routing=hear) as routing:
            states = {name: routing.in_force(name) for name in sorted(routing.table.routes)}
    except (KafkaError, OSError) as error:
        raise unreadable(settings.topic_names.control, settings.broker.servers, error) from error
    return {name: state.message for name, state in states.items() if state is not None}
