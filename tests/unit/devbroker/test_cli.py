import json
import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from leverframe.agents.cli.broker import broker
from leverframe.devbroker.configuration import server_properties, write_properties
from leverframe.devbroker.ports import HOST
from leverframe.schemas.errors import BrokerError


def test_status_of_no_broker_is_exit_code_1(tmp_path: Path) -> None:
    """A script can tell from the exit code, a program from the JSON."""
    result = CliRunner().invoke(broker, ["status", "--json", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"running": False, "data_dir": str(tmp_path)}


def test_stop_of_no_broker_is_no_error(tmp_path: Path) -> None:
    """Stopping what does not run has nothing to do."""
    result = CliRunner().invoke(broker, ["stop", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "No broker runs" in result.stdout


def test_start_on_a_taken_port_raises_a_broker_error(tmp_path: Path) -> None:
    """The main command turns it into a message and exit code 2."""
    with socket.create_server((HOST, 0)) as server:
        port = str(server.getsockname()[1])
        result = CliRunner().invoke(broker, ["start", "--port", port, "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, BrokerError)
    assert result.exception.exit_code == 2
    assert f"Port {port}" in str(result.exception)


def test_help_imports_nothing_heavy() -> None:
    """The command line answers at once: what starting needs is imported when starting."""
    code = (
        "import sys, leverframe.agents.cli.broker as b\n"
        "b.broker(['--help'], standalone_mode=False)\n"
        "heavy = {'msgspec', 'aiokafka', 'faust', 'numpy', 'jgo', 'rich', 'asyncio'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "start" in done.stdout


def test_properties_keep_to_loopback_and_can_be_overridden(tmp_path: Path) -> None:
    """No listener is open to the network, and what the caller says wins."""
    properties = server_properties(
        port=1, controller_port=2, log_dir=tmp_path, extra={"num.partitions": "3"}
    )
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["auto.create.topics.enable"] == "false"
    write_properties(tmp_path / "server.properties", {**properties, "windows": "C:\\x"})
    lines = (tmp_path / "server.properties").read_text().splitlines()
    assert "num.partitions=3" in lines
    assert r"windows=C:\\x" in lines
