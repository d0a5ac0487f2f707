"""What keeps a version from being released; pure, with the cure in each line."""

import re
from collections.abc import Sequence
from typing import Final

from release.changelog import Fragment, entry_of

__all__ = ["faults_of"]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


def faults_of(
    version: str,
    changelog: str,
    fragments: Sequence[Fragment],
    changed: Sequence[str],
    tagged: str,
    head: str,
) -> list[str]:
    """Return all that is wrong.

    Parameters
    ----------
    version : str
        Of the package.
    changelog : str
        Text of ``CHANGELOG.md``.
    fragments : sequence of Fragment
        Not moved into it yet.
    changed : sequence of str
        Files that differ from the commit, or are not in it.
    tagged : str
        The commit that bears the version's tag; empty if none.
    head : str
        The commit to be released.
    """
    faults = []
    if not _VERSION.fullmatch(version):
        faults.append(f"version {version!r} is not X.Y.Z: mend __version__ in leverframe")
    if fragments:
        faults.append(
            f"changelog.d/ holds {len(fragments)} fragments that belong to this version: "
            f"`python -m release.changelog {version} YYYY-MM-DD` moves them"
        )
    day, text = entry_of(changelog, version)
    if not _DAY.fullmatch(day):
        told = f"is dated {day!r}" if day else "has no entry"
        faults.append(f"{version} {told} in CHANGELOG.md: it needs the day of the release")
    elif not text:
        faults.append(f"CHANGELOG.md says nothing of {version}")
    if changed:
        faults.append(f"not committed: {', '.join(changed[:5])}; a release is one commit")
    if tagged and tagged != head:
        faults.append(f"tag v{version} is on {tagged[:9]}, this is {head[:9]}: raise __version__")
    return faults
