"""Refuses to run when another distribution owns one of our package names (docs/adr/0001).

Asking the metadata of every installed distribution takes longer than most commands, so it is asked
only where our files are not exactly those that were installed.
"""

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from schemas.errors import LeverframeError

__all__ = ["PackageCollisionError", "is_ours_alone", "refuse_collisions", "refuse_others"]

OURS: Final = ("agents", "experiments", "policies", "schemas", "serving", "streams")
DISTRIBUTION: Final = "leverframe"


class PackageCollisionError(LeverframeError):
    """Another installed distribution brings a package of the same name.

    Nothing was started: pip lets the last one win, and half of the modules would be the other's.
    The operator installs Leverframe in a virtual environment of its own.
    """

    exit_code = 2


def refuse_collisions() -> None:
    """Check that all our packages are ours and lie in one folder.

    Raises
    ------
    PackageCollisionError
        Naming the intruder and the cure.
    """
    homes = {_home(name) for name in OURS}
    home = next(iter(homes))
    if len(homes) == 1 and home is not None and is_ours_alone(home, sys.path):
        return
    from importlib.metadata import packages_distributions

    refuse_others(packages_distributions())
    if len(homes) > 1:
        raise PackageCollisionError(
            "our packages lie in several folders: "
            + ", ".join(sorted(map(str, homes)))
            + ". Another folder on sys.path has packages of the same names; run from elsewhere."
        )


def refuse_others(owners: Mapping[str, Iterable[str]]) -> None:
    """Check who brings packages of our names.

    Parameters
    ----------
    owners : mapping of str to iterable of str
        Distributions by package.

    Raises
    ------
    PackageCollisionError
        Naming the intruder and the cure.
    """
    for name in OURS:
        others = sorted({owner for owner in owners.get(name, ()) if owner != DISTRIBUTION})
        if others:
            raise PackageCollisionError(
                f"the package {name!r} also comes from {', '.join(others)}. Install leverframe in "
                f"a virtual environment of its own, or: pip uninstall {others[0]} && "
                "pip install --force-reinstall leverframe"
            )


def is_ours_alone(home: Path, path: Iterable[str]) -> bool:
    """Whether nothing but our distribution can have brought packages of our names.

    Parameters
    ----------
    home : Path
        The folder in which our packages lie.
    path : iterable of str
        Where Python looks for packages.

    Returns
    -------
    bool
        False where another folder holds a package of such a name, or ours hold a file that was
        not installed with them, or not with that size.
    """
    elsewhere = {os.path.realpath(entry) for entry in path} - {os.path.realpath(home)}
    if any((Path(folder) / name).is_dir() for folder in elsewhere for name in OURS):
        return False
    records = list(home.glob(f"{DISTRIBUTION}-*.dist-info/RECORD"))
    # A checkout, to which no installer writes.
    return not records or _is_as_installed(home, records[0].read_text("utf-8"))


def _is_as_installed(home: Path, record: str) -> bool:
    # Path, hash and size of each file that the installer wrote.
    lines = (line.rsplit(",", 2) for line in record.splitlines())
    sizes = {line[0]: line[2] for line in lines if line[0].partition("/")[0] in OURS}
    known = sizes.keys() | {name.rpartition("/")[0] for name in sizes}
    found = {
        f"{package}/{entry.name}": entry
        for package in OURS
        for entry in (home / package).iterdir()
        if entry.name != "__pycache__"
    }
    return all(
        name in known and sizes.get(name) in {None, str(entry.stat().st_size)}
        for name, entry in found.items()
    )


def _home(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent.parent if spec is not None and spec.origin else None
