"""Virtual environments of peers whose packages are not ours, made once in the user's cache."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.peers.contender import LeftOutError, Report
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.locks import hold_lock

__all__ = ["python_with"]

_LIMIT_S = 600.0


def python_with(name: str, requirements: Sequence[str], report: Report) -> str:
    """Return a Python interpreter that has given packages.

    Raises ``LeftOutError`` if they cannot be installed.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join([version, *requirements]).encode()).hexdigest()[:12]
    root = cache_root() / "bench"
    folder = root / f"{name}-{digest}"
    python = folder / "bin" / "python"
    done = folder / ".installed"
    with hold_lock(root / f"{name}.lock", lambda: report(f"another process installs {name}")):
        if done.is_file():
            return str(python)
        report(f"installing {', '.join(requirements)} into {folder}, once")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], name)
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements], name)
        done.touch()
    return str(python)


def _run(command: Sequence[str | Path], name: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_S)
    except subprocess.CalledProcessError as error:
        raise LeftOutError(f"{name} cannot be installed: {error.stderr[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LeftOutError(f"{name} cannot be installed: {error}") from error
