"""What a process and its children use of memory and processor, as Linux tells."""

import os
import re
from contextlib import suppress
from pathlib import Path

__all__ = ["machine_s", "processor_s", "resident_mb", "stored_bytes"]

_NAMES = {"peak": "VmHWM", "now": "VmRSS", "anonymous": "RssAnon", "of_files": "RssFile"}


def _family(pid: int) -> list[int]:
    """A process and all that it started, directly or not; itself alone where Linux cannot tell."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has just ended
                found += map(int, children.read_text(encoding="ascii").split())
    return found


def _read(pid: int, name: str) -> str:
    """A file of /proc; empty once the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError:
        return ""


def resident_mb(pid: int) -> dict[str, int]:
    """Return the resident memory of a process and its children, in MB of 1000 kB.

    ``peak`` so far, ``now``, and of the latter what is anonymous and what maps files; what
    processes share is counted once for each.
    """
    found = dict.fromkeys(_NAMES, 0)
    for one in _family(pid):
        status = _read(one, "status")
        for ours, theirs in _NAMES.items():
            match = re.search(rf"{theirs}:\s+(\d+) kB", status)
            found[ours] += 0 if match is None else int(match[1])
    return {name: kilobytes // 1000 for name, kilobytes in found.items()}


def processor_s(pid: int) -> float:
    """Return how long a process and its children have computed, all threads together.

    Seconds, user and system; 0 once it has ended, or where there is no /proc.
    """
    ticks = 0
    for one in _family(pid):
        fields = _read(one, "stat").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_s() -> float:
    """Return how long all processes of the machine have computed, the kernel included."""
    # cpu  user nice system idle iowait irq softirq steal ...
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    return sum(int(fields[at]) for at in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def stored_bytes(folder: Path, pattern: str = "**/*") -> int:
    """Return the size of all files of a folder that match."""
    total = 0
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
