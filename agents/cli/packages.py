"""Refuses to run when another distribution owns one of our package names (docs/adr/0001)."""

import importlib.util
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from schemas.errors import LeverframeError

__all__ = ["PackageCollisionError", "refuse_collisions"]

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
    owners = packages_distributions()
    for name in OURS:
        others = sorted({owner for owner in owners.get(name, ()) if owner != DISTRIBUTION})
        if others:
            raise PackageCollisionError(
                f"the package {name!r} also comes from {', '.join(others)}. Install leverframe in "
                f"a virtual environment of its own, or: pip uninstall {others[0]} && "
                "pip install --force-reinstall leverframe"
            )
    folders = {_parent(name) for name in OURS}
    if len(folders) > 1:
        raise PackageCollisionError(
            "our packages lie in several folders: "
            + ", ".join(sorted(map(str, folders)))
            + ". Another folder on sys.path has packages of the same names; run from elsewhere."
        )


def _parent(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent.parent if spec is not None and spec.origin else None
