"""Keeps routes heard, as the job does, from a process of its own: ``... SERVERS PREFIX ROUTES``."""

import asyncio
import sys
import time
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage

__all__ = ["control", "publish", "settings_of"]

_TTL_MS: Final = 15_000
_BEAT_S: Final = 5.0


def control(route: int, seq: int, **more: Any) -> ControlMessage:
    """Return a message of a route."""
    told: dict[str, Any] = {
        "route": f"route-{route}",
        "epoch": 1,
        "seq": seq,
        "kind": "routing" if seq == 1 else "heartbeat",
        "weights": {"a": 0.5, "b": 0.5},
        "champion": "a",
        "safe_weights": {"a": 1.0},
        "ttl_ms": _TTL_MS,
        "issued_at_ms": time.time_ns() // 1_000_000,
        "salt": f"{route:016x}",
        "cause": {"why": "heartbeat"},
        "state_digest": "0" * 16,
    }
    return ControlMessage(**{**told, **more})


def settings_of(servers: str, prefix: str) -> Settings:
    """Return the settings of this bench."""
    return load_settings(None, {"LEVERFRAME_BROKER": servers, "LEVERFRAME_TOPICS__PREFIX": prefix})


async def publish(settings: Settings, messages: list[ControlMessage]) -> None:
    """Write control messages, and wait until they are durable."""
    topic = settings.topic_names.control
    async with AIOKafkaProducer(
        bootstrap_servers=settings.broker.servers, max_batch_size=256 << 10, linger_ms=5
    ) as producer:
        sent = [await producer.send(topic, encode(m), key=m.route.encode()) for m in messages]
        await asyncio.gather(*sent)


async def beat(settings: Settings, routes: int) -> None:
    """Keep every route heard."""
    seq = 1
    while True:
        seq += 1
        await publish(settings, [control(route, seq) for route in range(routes)])
        await asyncio.sleep(_BEAT_S)


if __name__ == "__main__":
    asyncio.run(beat(settings_of(sys.argv[1], sys.argv[2]), int(sys.argv[3])))
