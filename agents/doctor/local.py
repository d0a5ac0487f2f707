"""What can be said without a broker: the settings and this machine's folder."""

import os
from pathlib import Path
from typing import Final

from leverframe.agents.datadir import holder
from leverframe.agents.doctor.findings import Finding, fault, ok
from leverframe.agents.settings import Settings
from leverframe.streams.routes.faults import route_faults

__all__ = ["judge_folder", "judge_routes"]

CHECK: Final = "settings"


def judge_routes(settings: Settings, path: Path | None) -> list[Finding]:
    """Tell whether the policies, rewards and detectors of all routes can be built."""
    where = str(path) if path else "environment and defaults (no file)"
    found = []
    for name, route in settings.routes.items():
        for keys, text in route_faults(route):
            cure = "Correct it; docs/settings.md says what can be named"
            found.append(fault(CHECK, where, f"routes.{name}.{keys[0]}: {text}", cure))
    count = len(settings.routes)
    said = f"{count} route{'s' if count != 1 else ''}; policies, rewards and detectors can be built"
    return found or [ok(CHECK, where, said)]


def judge_folder(settings: Settings) -> Finding:
    """Tell whether a worker could keep its caches in ``[app] datadir``."""
    folder = Path(settings.app.datadir).absolute()
    where = f"[app] datadir {folder}"
    if pid := holder(folder):
        return ok(CHECK, where, f"a worker runs here (process {pid})")
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        return fault(CHECK, where, f"{nearest} is a file", "Give [app] datadir another name")
    if not os.access(nearest, os.W_OK | os.X_OK):
        cure = "Give this user the folder, or set [app] datadir to one it may write to"
        return fault(CHECK, where, f"this user may not write to {nearest}", cure)
    return ok(CHECK, where, "writable" if nearest == folder else "can be made")
