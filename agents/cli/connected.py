"""How a command runs against Kafka: what is missing is one line, whoever meets it first."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from leverframe.agents.settings import Settings

__all__ = ["run_connected"]

Answer = TypeVar("Answer")


def run_connected(
    settings: Settings,
    topics: Iterable[str],
    work: Callable[[], Coroutine[Any, Any, Answer]],
    *,
    counted: bool = False,
    run: Callable[[Coroutine[Any, Any, Answer]], Answer] = asyncio.run,
) -> Answer:
    """Make sure of the broker and the topics that the work needs, then do it.

    ``counted``: the topics must also have the partition counts of the settings. ``run``: under
    another event loop. A broker that goes away in the middle is a ``BrokerError`` too.
    """
    from aiokafka.errors import KafkaError

    from leverframe.agents.operator.preflight import require
    from leverframe.schemas.errors import BrokerError

    async def checked() -> Answer:
        await require(settings, topics, counted=counted)
        return await work()

    try:
        return run(checked())
    except BrokenPipeError:
        raise  # of whoever reads our output
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"the broker at {settings.broker.servers} stopped answering ({error!r:.200}); look at "
            "its log, or: leverframe doctor"
        ) from error
