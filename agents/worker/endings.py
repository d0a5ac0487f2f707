"""How a worker's process ends: each way leaves at once, after its last words.

The interpreter is not taken down piece by piece: what was durable before is, what was not is read
again, and native threads of libraries would run on in memory that is being freed.
"""

import logging
import os
import sys
from typing import Final, NoReturn

from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.logger import make_logger

__all__ = ["LONGEST_END_S", "end_late", "end_process", "leave"]

log = make_logger()

# Kubernetes kills 30 s after it has asked. Most ends take one or two seconds.
LONGEST_END_S: Final = 15.0


def leave(exit_code: int) -> NoReturn:
    """End this process now, once all that was logged is written."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def end_process(error: BaseException) -> NoReturn:
    """Fail-stop: say what happened and leave; the platform starts the worker again.

    An orderly shutdown would wait for micro-batches that will never be acknowledged.
    """
    if isinstance(error, LeverframeError):
        log.critical("worker_failed", message=str(error))
        leave(error.exit_code)
    log.critical(
        "worker_failed",
        message="unexpected error; nothing is lost, restart the worker",
        exc_info=error,
    )
    leave(1)


def end_late() -> NoReturn:
    """Leave in the middle of an orderly end.

    Nothing is lost: what was not committed was not acknowledged, and is read again.
    """
    log.warning(
        "worker_left",
        message=f"the orderly end took longer than {LONGEST_END_S:g} s, the worker leaves without; "
        "nothing is lost, its partitions move when its session has passed",
    )
    leave(1)
