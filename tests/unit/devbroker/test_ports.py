import socket
import threading
from pathlib import Path

import pytest

from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.ports import HOST, free_ports, kafka_answers, why_not_free
from leverframe.schemas.errors import BrokerError


def test_free_ports_are_different_and_free() -> None:
    """Each can be listened on."""
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert [why_not_free(port) for port in ports] == ["", "", ""]


def test_no_connection_gets_a_free_port_before_its_server() -> None:
    """Nor do two that ask at once: the system would give the same one twice within minutes."""
    found = [port for _ in range(20) for port in free_ports(2)]
    with socket.create_server((HOST, 0)) as server:
        given = server.getsockname()[1]
    assert max(found) < given
    assert len(set(found)) > 30


def test_where_the_system_gives_all_ports_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of its is better than none."""
    monkeypatch.setattr("leverframe.devbroker.ports._LOWEST", 70_000)
    assert len(set(free_ports(3))) == 3


def test_taken_port_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    """The error names the port, who has it and both cures; nothing is downloaded or written."""
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerError) as caught:
            start_broker(
                data_dir=tmp_path / "data",
                port=port,
                cache=tmp_path / "cache",
                report=lambda _: None,
                detached=False,
            )
    message = str(caught.value)
    assert f"Port {port} on {HOST} is taken by another program" in message
    assert "--port" in message
    assert "LEVERFRAME_BROKER" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\4\0\0\0\1"])
def test_another_server_is_not_taken_for_kafka(answer: bytes) -> None:
    """Silence, another protocol and cut-off answers all mean: no Kafka here."""

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(answer)

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        assert not kafka_answers(server.getsockname()[1])
        thread.join()


def test_closed_port_does_not_answer() -> None:
    """Nobody there is an answer, not an error."""
    assert not kafka_answers(free_ports(1)[0])
