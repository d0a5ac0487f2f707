"""Settings of ``leverframe mlflow``."""

import re
from collections.abc import Iterator
from string import Formatter
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

__all__ = ["FIELDS", "MlflowRoute", "MlflowSettings", "mlflow_faults", "mlflow_route_faults"]

FIELDS: Final = ("model", "version")
"""What the template of an arm's name may hold."""

# Of MLflow's own: it would take them for versions.
_RESERVED: Final = re.compile(r"latest|v\d+", re.IGNORECASE)

Fault = tuple[tuple[str, ...], str]


class MlflowRoute(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A route whose arms are the versions of a registered model.

    Attributes
    ----------
    model : str
        Name of the registered model.
    arm : str
        The name of a version's arm; ``{model}`` and ``{version}`` stand for its own.
    alias : str
        Of the model: it follows the champion of the route.
    start : {"nursery", "shadow"}
        How a new version begins: with the nursery's share, or without traffic, judged in shadow.
    tags : dict of str to str
        A version is registered once it has all of them, such as ``{ validation = "passed" }``.
    first_version : int
        Versions before it are passed over; 0: those before the one that has the alias, and where
        none has it, before the newest.
    """

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    arm: Annotated[str, Meta(min_length=1, max_length=128)] = "{model}-{version}"
    alias: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,80}$")] = "champion"
    start: Literal["nursery", "shadow"] = "nursery"
    tags: dict[str, str] = field(default_factory=dict)
    first_version: Annotated[int, Meta(ge=0)] = 0


class MlflowSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model registry that ``leverframe mlflow`` follows (docs/mlflow.md).

    Attributes
    ----------
    url : str
        Of the tracking server, such as ``http://mlflow:5000``.
    username, password : str
        Of its basic authentication; give the password by the environment.
    token : str
        Sent as ``Authorization: Bearer`` instead. Give it by the environment.
    ca_file : str
        Certificates (PEM) of who signed the server's.
    timeout_s : float
        Longest wait for an answer.
    poll_s : float
        How often the registry is looked at; a change of champion is followed at once.
    actor : str
        Who registers arms, for the audit, and for the job where it asks for
        [signatures](authority.md).
    routes : dict of str to MlflowRoute
        What belongs together, by route.
    """

    url: Annotated[str, Meta(pattern=r"^(|https?://[!-~]+)$")] = ""
    username: str = ""
    password: str = ""
    token: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    poll_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    actor: Annotated[str, Meta(min_length=1, max_length=128)] = "mlflow"
    routes: dict[str, MlflowRoute] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Leave password and token out."""
        return f"MlflowSettings(url={self.url!r}, routes={self.routes!r})"


def mlflow_route_faults(settings: MlflowRoute) -> Iterator[Fault]:
    """Find what is wrong with one route.

    Examples
    --------
    >>> list(mlflow_route_faults(MlflowRoute(model="fraud")))
    []
    >>> next(mlflow_route_faults(MlflowRoute(model="fraud", arm="fraud")))[1]
    '{version} is missing: all versions would have one name'
    """
    try:
        held = [name for _, name, _, _ in Formatter().parse(settings.arm) if name is not None]
        settings.arm.format(**dict.fromkeys(FIELDS, "1"))
    except (ValueError, KeyError, IndexError, AttributeError):
        told = " and ".join(f"{{{name}}}" for name in FIELDS)
        yield (
            ("arm",),
            f"{settings.arm!r} is no template of {told}, such as '{{model}}-{{version}}'",
        )
    else:
        if "version" not in held:
            yield ("arm",), "{version} is missing: all versions would have one name"
    if _RESERVED.fullmatch(settings.alias):
        yield ("alias",), f"{settings.alias!r} is MLflow's own: it would be read as a version"
    if '"' in settings.model and "'" in settings.model:
        yield ("model",), "a name with both kinds of quotes cannot be searched for in MLflow"


def mlflow_faults(settings: MlflowSettings) -> Iterator[Fault]:
    """Find what is wrong between routes.

    Examples
    --------
    >>> both = MlflowRoute(model="fraud")
    >>> next(mlflow_faults(MlflowSettings(routes={"a": both, "b": both})))[0]
    ('routes.b.alias', 'routes')
    """
    followed: dict[tuple[str, str], str] = {}
    for name, route in settings.routes.items():
        other = followed.setdefault((route.model, route.alias), name)
        if other != name:
            told = f"route {other!r} moves the alias {route.alias!r} of {route.model!r} already"
            yield (f"routes.{name}.alias", "routes"), f"{told}: give each route an alias of its own"
    if settings.token and settings.username:
        yield ("token", "username"), "one of token and username is used; leave the other out"
