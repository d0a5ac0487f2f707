"""What a process uses of memory and processor, as Linux tells."""

import os
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["family", "machine_s", "processor_s", "resident_mb", "stored_bytes"]


def resident_mb(pid: int) -> dict[str, int]:
    """Return the resident memory of a process, in MB of 1000 kB.

    Parameters
    ----------
    pid : int
        Of a running process.

    Returns
    -------
    dict of str to int
        ``peak`` so far, ``now``, and of the latter what is anonymous and what maps files.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    names = {"peak": "VmHWM", "now": "VmRSS", "anonymous": "RssAnon", "of_files": "RssFile"}
    found = {ours: re.search(rf"{theirs}:\s+(\d+) kB", status) for ours, theirs in names.items()}
    return {name: 0 if match is None else int(match[1]) // 1000 for name, match in found.items()}


def processor_s(pid: int) -> float:
    """Return how long a process has computed, all its threads together.

    Parameters
    ----------
    pid : int
        Of a running process.

    Returns
    -------
    float
        Seconds, user and system.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_s() -> float:
    """Return how long all processes of the machine have computed, the kernel included.

    Returns
    -------
    float
        Seconds, of all cores together.
    """
    # cpu  user nice system idle iowait irq softirq steal ...
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    return sum(int(fields[at]) for at in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all that it started, directly or not.

    Parameters
    ----------
    pid : int
        Of a running process.

    Returns
    -------
    list of int
        Pids, its own first.
    """
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text(encoding="ascii").split())
    return found


def stored_bytes(folder: Path, pattern: str = "**/*") -> int:
    """Return the size of all files of a folder that match.

    Parameters
    ----------
    folder : Path
        Looked through.
    pattern : str
        Of ``Path.glob``.

    Returns
    -------
    int
        Bytes; a file that goes away meanwhile counts for nothing.
    """
    total = 0
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
