"""What a worker refuses before it starts."""

import socket

import pytest

from leverframe.agents.settings import Settings, load_settings
from leverframe.agents.worker.run import refuse_taken_ports
from leverframe.schemas.errors import SettingsError


def settings_with(port: int, processes: int = 1) -> Settings:
    environment = {
        "LEVERFRAME_APP__WEB_PORT": str(port),
        "LEVERFRAME_APP__PROCESSES": str(processes),
    }
    return load_settings(None, environment)


def test_a_port_that_another_has_is_named_with_the_cure() -> None:
    """One line, not the trace of a web server."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} cannot be used.*web_port"):
            refuse_taken_ports(settings_with(port))
        # The one before may happen to be another program's.
        with pytest.raises(SettingsError, match=f":({port}|{port - 1}) cannot be used"):
            refuse_taken_ports(settings_with(port - 1, processes=2))


def test_no_pages_need_no_port() -> None:
    """Port 0 switches them off."""
    refuse_taken_ports(settings_with(0, processes=3))
