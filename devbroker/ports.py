"""Ports on the loopback address: which are free, and whether Kafka answers on one."""

import errno
import random
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Final

__all__ = ["HOST", "free_ports", "kafka_answers", "why_not_free"]

HOST: Final = "127.0.0.1"
_API_VERSIONS: Final = 18
_METADATA: Final = 3
_METADATA_VERSION: Final = 4  # the newest without tagged fields whose shape every Kafka >= 1 knows
_NO_TOPICS: Final = struct.pack(">ib", 0, 0)  # asks about none, has none created
_MAX_ANSWER_BYTES: Final = 1_000_000
_TIMEOUT_S: Final = 2.0
_LOWEST: Final = 20_000
_SPARE: Final = 100
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_BY_STANDARD: Final = 49_152  # RFC 6335


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below those that outgoing connections get.

    A port that the system itself gives may be given again, to the next connection of any process,
    before a server listens on it.
    """
    below = range(_LOWEST, _first_ephemeral())
    tries = random.SystemRandom().sample(below, min(len(below), count + _SPARE))
    with ExitStack() as held:
        sockets = [held.enter_context(each) for each in islice(_listening(tries), count)]
        while len(sockets) < count:
            sockets.append(held.enter_context(socket.create_server((HOST, 0))))
        return [int(each.getsockname()[1]) for each in sockets]


def _listening(ports: Iterable[int]) -> Iterator[socket.socket]:
    for port in ports:
        with suppress(OSError):
            yield socket.create_server((HOST, port))


def _first_ephemeral() -> int:
    """The first port that outgoing connections get."""
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _FIRST_BY_STANDARD


def why_not_free(port: int) -> str:
    """Tell what would keep a server from listening on a port now.

    Ends a sentence that began with "Port 9092"; empty when the port is free.
    """
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return f"cannot be used: {error.strerror}"
        who = "a Kafka broker" if kafka_answers(port, 0.5) else "another program"
        return f"is taken by {who}"
    return ""


def kafka_answers(port: int, timeout_s: float = _TIMEOUT_S) -> bool:
    """Tell whether a Kafka broker on a port serves requests and takes part in its cluster.

    True when the broker knows its cluster and lists itself, under this port, as alive in it.
    """
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s) as connection:
            _ask(connection, _API_VERSIONS, 0, b"")
            answer = _ask(connection, _METADATA, _METADATA_VERSION, _NO_TOPICS)
            return port in _listed_ports(answer)
    except (OSError, struct.error):
        return False


def _ask(connection: socket.socket, api_key: int, version: int, body: bytes) -> bytes:
    """Send one request and return the answer after its correlation id."""
    client = b"leverframe-devbroker"
    header = struct.pack(f">hhih{len(client)}s", api_key, version, 1, len(client), client)
    connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
    (size_bytes,) = struct.unpack(">i", _receive(connection, 4))
    if not 0 <= size_bytes <= _MAX_ANSWER_BYTES:
        raise ConnectionError("this is not Kafka's protocol")
    return _receive(connection, size_bytes)[4:]


def _receive(connection: socket.socket, size_bytes: int) -> bytes:
    """Read exactly so many bytes."""
    parts = bytearray()
    while len(parts) < size_bytes:
        part = connection.recv(size_bytes - len(parts))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        parts += part
    return bytes(parts)


def _listed_ports(metadata: bytes) -> set[int]:
    """Return the ports of the brokers in a Metadata answer, version 3 to 8."""
    ports: set[int] = set()
    _throttle_ms, brokers = struct.unpack_from(">ii", metadata)
    at = 8
    for _ in range(brokers):
        (host_bytes,) = struct.unpack_from(">h", metadata, at + 4)
        at += 6 + host_bytes
        port, rack_bytes = struct.unpack_from(">ih", metadata, at)
        at += 6 + max(rack_bytes, 0)
        ports.add(port)
    return ports
