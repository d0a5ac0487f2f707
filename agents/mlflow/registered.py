"""A registered model as MLflow's REST interface gives it, and the marks that we leave there. Pure.

The marks are tags, so that a restart knows what was done before: on a version the arm that it
became, on the model where we left the alias.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

__all__ = [
    "Model",
    "Version",
    "alias_mark",
    "arm_mark",
    "left_at",
    "marked",
    "model_of",
    "version_of",
]

READY: Final = "READY"


class Version(Struct, frozen=True):
    """A version of a registered model.

    Attributes
    ----------
    number : int
        From 1 on.
    status : str
        ``READY``, ``PENDING_REGISTRATION`` or ``FAILED_REGISTRATION``.
    tags : mapping
        Of the version, our mark among them.
    """

    number: int
    status: str
    tags: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether MLflow has all of it."""
        return self.status == READY


class Model(Struct, frozen=True):
    """A registered model.

    Attributes
    ----------
    name : str
        In MLflow.
    aliases : mapping
        Of alias to version.
    tags : mapping
        Of the model, our mark among them.
    versions : tuple of Version
        By number.
    """

    name: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    versions: tuple[Version, ...] = ()


def arm_mark(alias: str) -> str:
    """Return the tag of a version that names its arm; a model may serve several routes.

    Examples
    --------
    >>> arm_mark("champion"), alias_mark("champion")
    ('leverframe.champion.arm', 'leverframe.champion')
    """
    return f"leverframe.{alias}.arm"


def alias_mark(alias: str) -> str:
    """Return the tag of a model that tells where we left its alias."""
    return f"leverframe.{alias}"


def marked(versions: Iterable[int]) -> str:
    """Return the value of the mark: where the alias may be if nobody else moved it; 0 is nowhere.

    Two only while it is moved from the one to the other.

    Examples
    --------
    >>> marked([3]), marked([0, 3])
    ('3', '0 3')
    """
    return " ".join(map(str, versions))


def left_at(model: Model, alias: str) -> frozenset[int] | None:
    """Return where we left the alias; None where we never had it.

    A mark that is not ours to read counts as one that fits nowhere.
    """
    told = model.tags.get(alias_mark(alias))
    if told is None:
        return None
    return frozenset(int(part) for part in told.split() if part.isdecimal())


def model_of(answer: Mapping[str, Any], versions: Iterable[Version]) -> Model:
    """Return the model of an answer of ``registered-models/get``."""
    told = answer["registered_model"]
    return Model(
        told["name"],
        {one["alias"]: int(one["version"]) for one in told.get("aliases") or ()},
        _tags(told),
        tuple(sorted(versions, key=lambda version: version.number)),
    )


def version_of(told: Mapping[str, Any]) -> Version:
    """Return a version as ``model-versions/search`` tells it."""
    return Version(int(told["version"]), str(told.get("status") or READY), _tags(told))


def _tags(told: Mapping[str, Any]) -> dict[str, str]:
    return {one["key"]: one.get("value") or "" for one in told.get("tags") or ()}
