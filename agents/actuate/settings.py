"""Settings of ``leverframe actuate``: ``[actuators.NAME]``, ``[kubernetes]``, ``[actuate]``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field

__all__ = [
    "LATEST",
    "PREVIOUS",
    "ActuateSettings",
    "ActuatorSettings",
    "HttpRouteSettings",
    "InferenceServiceSettings",
    "KubernetesSettings",
    "WarmUpSettings",
    "WebhookSettings",
    "actuator_faults",
    "place_faults",
]

LATEST: Final = "latest"
PREVIOUS: Final = "previous"

# As Kubernetes has it for names of objects and namespaces.
ObjectName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Address: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[!-~]+$")]
Confirm: TypeAlias = Literal["status", "spec"]


class WarmUpSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How fast a backend may get more traffic (docs/actuators.md#warm-up).

    Attributes
    ----------
    step : float
        Most of the traffic that an arm gains within ``every_s``; 1 switches warm-ups off.
    every_s : float
        That time.
    warm_from : float
        An arm that has had at least this share for ``every_s`` is warm: it takes over from a broken
        one at once.
    """

    step: Annotated[float, Meta(gt=0, le=1)] = 0.25
    every_s: Annotated[float, Meta(ge=0, le=86_400)] = 10.0
    warm_from: Annotated[float, Meta(ge=0, le=1)] = 0.1


class HttpRouteSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Backend weights of one rule of a Gateway API ``HTTPRoute``.

    Attributes
    ----------
    namespace, name : str
        Of the object.
    rule : str
        Name of the rule; ``rule_index`` chooses it when empty.
    rule_index : int
        Place of the rule, from 0.
    total : int
        What the weights sum to.
    confirm : {"status", "spec"}
        What counts as in force: every gateway has accepted the generation that was written, or the
        object holds the weights.
    """

    namespace: ObjectName
    name: ObjectName
    rule: str = ""
    rule_index: Annotated[int, Meta(ge=0, le=15)] = 0
    total: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    confirm: Confirm = "status"

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def where(self) -> str:
        """The rule, for messages."""
        return f"rule {self.rule or self.rule_index} of HTTPRoute {self.place}"


class InferenceServiceSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``canaryTrafficPercent`` of a KServe ``InferenceService``: two revisions only.

    Attributes
    ----------
    namespace, name : str
        Of the object.
    latest_revision : str
        Name of the revision that must be the latest; any when empty.
    confirm : {"status", "spec"}
        What counts as in force: the status says that traffic is split so, or the object holds the
        percentage.
    """

    namespace: ObjectName
    name: ObjectName
    latest_revision: str = ""
    confirm: Confirm = "status"

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request that sets weights, and one that reads them back (docs/actuators.md#webhook).

    Attributes
    ----------
    url : str
        Template of the address.
    method : str
        Of the request.
    headers : dict of str to str
        ``${NAME}`` stands for a variable of the environment: secrets come so.
    body : str
        Template; no body when empty.
    format : {"json", "text"}
        Of the body: JSON whose texts are templates, or a template as it is.
    each : bool
        One request for each arm, in place of one for all.
    read_url : str
        Template of the address that is asked for what holds; nothing is read back when empty, and
        nothing acknowledged.
    read : dict of str to str
        JMESPath of each arm's weight in the answer; with ``each`` that of ``"*"`` in each answer.
    tolerance : int
        By how much a weight that is read back may differ, of ``total``; 0 is exactly 0.
    total : int
        What the weights sum to.
    ca_file : str
        Certificate authority for ``https``; the system's when empty.
    timeout_s : float
        After which an answer is not waited for any more.
    """

    url: Address
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    format: Literal["json", "text"] = "json"
    each: bool = False
    read_url: Annotated[str, Meta(pattern=r"^(|https?://[!-~]+)$")] = ""
    read: dict[str, str] = field(default_factory=dict)
    tolerance: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    total: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 5.0

    def __repr__(self) -> str:
        """Leave addresses and headers out."""
        return f"WebhookSettings(method={self.method!r}, each={self.each!r})"


class ActuatorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place where traffic is split, which gets a route's weights (docs/actuators.md).

    Attributes
    ----------
    route : str
        Whose weights; the section's name when empty.
    arms : dict of str to str
        Backend of each arm: of an ``HTTPRoute`` the name of its entry in ``backendRefs``
        (``NAMESPACE/NAME`` where the entry says a namespace, ``NAME:PORT`` where a name comes
        twice), of an ``InferenceService`` ``latest`` or ``previous``, of a webhook any text.
    httproute : HttpRouteSettings, optional
        One of these three.
    inferenceservice : InferenceServiceSettings, optional
        Likewise.
    webhook : WebhookSettings, optional
        Likewise.
    warm_up : WarmUpSettings
        How fast a backend may get more traffic.
    check_s : float
        How often what holds is read, also while nothing changes.
    force : bool
        Take fields over that another field manager owns, in Kubernetes.
    """

    route: Annotated[str, Meta(max_length=128)] = ""
    arms: dict[str, str]
    httproute: HttpRouteSettings | None = None
    inferenceservice: InferenceServiceSettings | None = None
    webhook: WebhookSettings | None = None
    warm_up: WarmUpSettings = field(default_factory=WarmUpSettings)
    check_s: Annotated[float, Meta(ge=0.1, le=3600)] = 5.0
    force: bool = False


class KubernetesSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The API server that actuators write to.

    Attributes
    ----------
    server : str
        Its address; inside a cluster the one of the pod's environment when empty.
    token_file : str
        A bearer token, read again for each request; the pod's service account when empty.
    ca_file : str
        Certificate authority; the pod's service account when empty.
    timeout_s : float
        After which an answer is not waited for any more.
    """

    server: Annotated[str, Meta(pattern=r"^(|https?://[!-~]+)$")] = ""
    token_file: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 5.0


class ActuateSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The process ``leverframe actuate`` itself.

    Attributes
    ----------
    bind, port
        Where it answers ``/metrics`` and ``/health``; port 0 takes a free one, which the log names.
    replica : str
        Begin of its names in ``control-acks``, one for each actuator; ``HOST-PID`` when empty.
    """

    bind: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8017
    replica: Annotated[str, Meta(max_length=80)] = ""


def actuator_faults(settings: ActuatorSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what is wrong with a section, by the keys concerned.

    Examples
    --------
    >>> [text for _, text in actuator_faults(ActuatorSettings(arms={"v1": "models-v1"}))]
    ['name one of httproute, inferenceservice, webhook; none is named']
    """
    kinds = ("httproute", "inferenceservice", "webhook")
    named = [kind for kind in kinds if getattr(settings, kind) is not None]
    if len(named) != 1:
        said = f"{' and '.join(named)} are" if named else "none is"
        yield (kinds, f"name one of {', '.join(kinds)}; {said} named")
    if not settings.arms:
        yield ("arms",), "name the backend of each arm"
    elif settings.webhook is not None:
        yield from _webhook_faults(settings.webhook, settings.arms)
    elif len(set(settings.arms.values())) < len(settings.arms):
        yield ("arms",), "two arms have the same backend, so their shares cannot differ"
    wanted = {LATEST, PREVIOUS}
    if settings.inferenceservice is not None and {*settings.arms.values()} != wanted:
        yield (
            ("arms", "inferenceservice"),
            "KServe splits traffic between two revisions: give one arm 'latest', one 'previous'",
        )


def place_faults(
    actuators: Mapping[str, ActuatorSettings],
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find places that two sections write to: each would take the other for somebody else."""
    seen: dict[tuple[str, ...], str] = {}
    for name, one in actuators.items():
        for place in _places_of(one):
            if place in seen:
                told = f"actuators.{seen[place]} and actuators.{name} write to one place"
                yield ("actuators",), f"{told}: leave one out"
            seen[place] = name


def _places_of(one: ActuatorSettings) -> Iterator[tuple[str, ...]]:
    if one.httproute is not None:
        rule = one.httproute.rule or str(one.httproute.rule_index)
        yield ("httproute", one.httproute.place, rule)
    if one.inferenceservice is not None:
        yield ("inferenceservice", one.inferenceservice.place)


def _webhook_faults(
    webhook: WebhookSettings, arms: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    from leverframe.agents.actuate.templates import template_faults

    keys = {"*"} if webhook.each else set(arms)
    if webhook.read_url and set(webhook.read) != keys:
        told = ", ".join(sorted(map(repr, keys)))
        yield ("webhook", "arms"), f"read: with read_url give the JMESPath of {told}, and no others"
    if webhook.read and not webhook.read_url:
        yield ("webhook",), "read: nothing is read without read_url"
    for text in template_faults(webhook, arms):
        yield ("webhook", "arms"), text
