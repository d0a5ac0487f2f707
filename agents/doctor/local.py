"""What can be said without a broker: the settings and this machine's folder."""

import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Final

from leverframe.agents.doctor.findings import Finding, fault, ok
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import PolicyError
from leverframe.streams.routes.route import compile_routes

__all__ = ["holder_of", "judge_folder", "judge_routes"]

CHECK: Final = "settings"
# struct flock, by system: format, place of l_type, place of l_pid.
_FLOCK: Final = {"linux": ("hhqqi", 0, 4), "darwin": ("qqihh", 3, 2)}


def judge_routes(settings: Settings, path: Path | None) -> list[Finding]:
    """Tell whether the policies, rewards and detectors of all routes can be built.

    Parameters
    ----------
    settings : Settings
        That could be read.
    path : Path, optional
        Their file.

    Returns
    -------
    list of Finding
        One "ok", or a fault for each route.
    """
    where = str(path) if path else "environment and defaults (no file)"
    found = []
    for name, route in settings.routes.items():
        try:
            compile_routes({name: route})
        except PolicyError as error:
            cure = "Correct the named parameter; docs/settings.md lists them"
            found.append(fault(CHECK, where, f"route {name!r}: {error}", cure))
    count = len(settings.routes)
    said = f"{count} route{'s' if count != 1 else ''}; policies, rewards and detectors can be built"
    return found or [ok(CHECK, where, said)]


def judge_folder(settings: Settings) -> Finding:
    """Tell whether a worker could keep its caches in ``[app] datadir``.

    Parameters
    ----------
    settings : Settings
        Name the folder.

    Returns
    -------
    Finding
        A fault if it cannot be made or written; "ok" also if a worker holds it.
    """
    folder = Path(settings.app.datadir).absolute()
    where = f"[app] datadir {folder}"
    locks = sorted((folder / settings.app.id).glob("*/*/LOCK")) if folder.is_dir() else []
    holder = next((pid for lock in locks if (pid := holder_of(lock))), 0)
    if holder:
        return ok(CHECK, where, f"a worker runs here (process {holder})")
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        return fault(CHECK, where, f"{nearest} is a file", "Give [app] datadir another name")
    if not os.access(nearest, os.W_OK | os.X_OK):
        cure = "Give this user the folder, or set [app] datadir to one it may write to"
        return fault(CHECK, where, f"this user may not write to {nearest}", cure)
    return ok(CHECK, where, "writable" if nearest == folder else "can be made")


def holder_of(lock: Path) -> int:
    """Return the process that holds a lock, without taking it even for a moment.

    Parameters
    ----------
    lock : Path
        RocksDB's lock file.

    Returns
    -------
    int
        Its id; 0 when nobody holds it, or that cannot be told.
    """
    form, at_type, at_pid = _FLOCK.get(sys.platform, ("", 0, 0))
    if not form:
        return 0
    asked = [0] * len(form)
    asked[at_type] = fcntl.F_WRLCK
    try:
        with lock.open("rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(form, *asked))
    except OSError:
        return 0
    fields = struct.unpack_from(form, answer)
    return 0 if fields[at_type] == fcntl.F_UNLCK else int(fields[at_pid])
