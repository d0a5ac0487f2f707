"""Ports on the loopback address: which are free, and whether Kafka answers on one."""

import errno
import socket
import struct
from typing import Final

__all__ = ["HOST", "free_ports", "kafka_answers", "why_not_free"]

HOST: Final = "127.0.0.1"
_API_VERSIONS: Final = 18
_METADATA: Final = 3
_METADATA_VERSION: Final = 4  # the newest without tagged fields whose shape every Kafka >= 1 knows
_NO_TOPICS: Final = struct.pack(">ib", 0, 0)  # asks about none, has none created
_MAX_ANSWER_BYTES: Final = 1_000_000
_TIMEOUT_S: Final = 2.0


def free_ports(count: int) -> list[int]:
    """Ask the system for ports that nobody listens on."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


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
