"""What several processes of one worker say of their ends: each is a process of its own here."""

import os
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE_S

FORK = """
import os, signal, sys
from leverframe.agents.worker.logs import set_up_logging
from leverframe.agents.worker.processes import fork_into
set_up_logging("info", "text")
number = fork_into(2)
signal.signal(signal.SIGTERM, lambda *_: {end} if number else os._exit(0))
os.write(1, b".")
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("os._exit(0)", 0, ""),
        ("os._exit(3)", 3, "process 1 of the worker did not end in order (exit code 3)"),
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            1,
            "process 1 of the worker did not end in order (by signal 11)",
        ),
    ],
)
def test_an_end_that_is_asked_for_is_told_where_it_was_none_in_order(
    end: str, code: int, said: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORK.format(end=end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONFAULTHANDLER": ""},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.read(2) == b".."
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == code
    assert said in log.decode()
    assert bool(said) == ("did not end in order" in log.decode())
