"""Requests as clients of other languages send them, over a real socket."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import uvicorn
from asking import Asked, control_message

from leverframe.agents.gateway.protocol import PlainHttp

BODY = b'{"context":{"targetingKey":"u"}}'
LINE = b"POST /ofrep/v1/evaluate/flags/r HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEA\r\nUpgrade: h2c\r\n"
PLAIN = LINE + LENGTH + b"\r\n"
OFFERED = LINE + OFFER + LENGTH + b"\r\n"
WEBSOCKET = LINE + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + LENGTH + b"\r\n"
CHUNKED = LINE + OFFER + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY)


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    asked = Asked(control_message("r", {"a": 1.0}))
    config = uvicorn.Config(
        asked.app, port=0, http=PlainHttp, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def answers(parts: Sequence[bytes], count: int) -> list[tuple[bytes, bytes]]:
    async with listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        found = []
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            found.append((head.split()[1], await reader.readexactly(int(length[1]))))
        writer.close()
        return found


@pytest.mark.parametrize(
    "parts",
    [
        [PLAIN + BODY],
        [OFFERED + BODY],
        [OFFERED, BODY],
        [OFFERED[:70], OFFERED[70:], BODY[:5], BODY[5:]],
        [WEBSOCKET, BODY],
        [CHUNKED, BODY + b"\r\n0\r\n\r\n"],
    ],
)
def test_an_offer_of_another_protocol_loses_nothing(parts: list[bytes]) -> None:
    """The body arrives, and the connection goes on: with and without another offer."""
    for status, body in asyncio.run(answers([*parts, OFFERED, BODY, PLAIN + BODY], 3)):
        assert status == b"200"
        assert b'"value":"a"' in body


def test_connect_is_refused() -> None:
    """It has no body and no path: this is no proxy."""
    ((status, body),) = asyncio.run(answers([b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"], 1))
    assert (status, body) == (b"400", b"CONNECT is not answered here: this is no proxy")
