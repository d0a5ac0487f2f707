"""KServe's InferenceService: the canary's percentage, to shares and back; pure.

KServe splits traffic between two revisions alone: the latest that is ready, and the one before it
that was rolled out whole. ``canaryTrafficPercent`` is the share of the latest; where it is missing
the latest has everything.
"""

from collections.abc import Mapping
from typing import Any, Final

from leverframe.agents.actuate.managers import FIELD_MANAGER, owners
from leverframe.agents.actuate.place import Seen, Trouble
from leverframe.agents.actuate.settings import LATEST, InferenceServiceSettings

__all__ = ["API_VERSION", "PERCENT", "seen_service", "service_patch", "service_path"]

API_VERSION: Final = "serving.kserve.io/v1beta1"
PERCENT: Final = 100


def service_path(settings: InferenceServiceSettings) -> str:
    """Return the object's path at the API server."""
    space = f"/apis/{API_VERSION}/namespaces/{settings.namespace}"
    return f"{space}/inferenceservices/{settings.name}"


def seen_service(
    document: Mapping[str, Any], settings: InferenceServiceSettings, arms: Mapping[str, str]
) -> Seen:
    """Read an InferenceService.

    Parameters
    ----------
    document : mapping
        The object.
    settings : InferenceServiceSettings
        Which revision is meant.
    arms : mapping of str to str
        ``latest`` or ``previous``, by arm.

    Returns
    -------
    Seen
        In force where the status says that traffic is split so, as ``confirm`` asks for.

    Raises
    ------
    Trouble
        If the latest revision is not the one that the settings name.
    """
    status = document.get("status", {}).get("components", {}).get("predictor", {})
    traffic = status.get("traffic") or []
    wanted, latest = settings.latest_revision, status.get("latestReadyRevision", "")
    if wanted and latest != wanted:
        raise Trouble(
            "unfit",
            f"the latest ready revision of InferenceService {settings.place} is {latest!r}, not "
            f"{wanted!r}: another model would get the arm's traffic. Correct latest_revision and "
            "arms, or wait until it is ready",
        )
    percent = document.get("spec", {}).get("predictor", {}).get("canaryTrafficPercent")
    written = PERCENT if percent is None else int(percent)
    shares = {
        arm: written if backend == LATEST else PERCENT - written for arm, backend in arms.items()
    }
    named = owners(document, ("f:spec", "f:predictor", "f:canaryTrafficPercent"))
    others = () if FIELD_MANAGER in named else tuple(named)
    pending = "" if settings.confirm == "spec" else _pending(traffic, written)
    return Seen(shares, pending, others, document=document)


def service_patch(
    seen: Seen,
    settings: InferenceServiceSettings,
    arms: Mapping[str, str],
    shares: Mapping[str, int],
) -> dict[str, Any]:
    """Return what is applied: the one field.

    Parameters
    ----------
    seen : Seen
        As it was read.
    settings : InferenceServiceSettings
        Which object.
    arms : mapping of str to str
        ``latest`` or ``previous``, by arm.
    shares : mapping of str to int
        To be written, percent.

    Returns
    -------
    dict
        A partial object for server-side apply.
    """
    percent = sum(share for arm, share in shares.items() if arms[arm] == LATEST)
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": settings.name,
            "namespace": settings.namespace,
            "resourceVersion": seen.document["metadata"]["resourceVersion"],
        },
        "spec": {"predictor": {"canaryTrafficPercent": percent}},
    }


def _pending(traffic: list[dict[str, Any]], written: int) -> str:
    if not traffic:
        return "KServe says nothing of traffic yet (status.components.predictor.traffic)"
    found = sum(one.get("percent") or 0 for one in traffic if one.get("latestRevision"))
    if found == written:
        return ""
    return f"the latest revision still has {found} % of the traffic"
