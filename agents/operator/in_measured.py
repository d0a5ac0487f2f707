"""What predictions measured of an arm, in words: for command line, page and sentences. Pure."""

from collections.abc import Mapping
from typing import Any

__all__ = ["measured_lines", "measured_texts"]


def measured_texts(known: Mapping[str, Any]) -> list[str]:
    """Say what is known of each metric of an arm.

    Parameters
    ----------
    known : mapping
        ``ArmEvidence``, as a control message has it.

    Returns
    -------
    list of str
        A text for each metric of which there are values.

    Examples
    --------
    >>> told = {"role": "guardrail", "verdict": "inconclusive", "requests": 1204, "mean": 112.25}
    >>> measured_texts({"metrics": {"latency_ms": told | {"quantile": 320.0, "against": 2.1}}})
    ['latency_ms: mean 112.2 of 1,204 requests, quantile 320; evidence against it 2.10 nats']
    >>> measured_texts({"metrics": {"cost": told | {"role": "signal", "verdict": "harmful"}}})
    ['cost: mean 112.2 of 1,204 requests; worse than tolerable, so its ramp and promotion wait']
    """
    return [
        f"{name}: {_text(told)}"
        for name, told in (known.get("metrics") or {}).items()
        if told.get("requests")
    ]


def _text(told: Mapping[str, Any]) -> str:
    said = f"mean {told['mean']:.4g} of {told['requests']:,} requests"
    if told.get("quantile") is not None:
        said += f", quantile {told['quantile']:.4g}"
    if told.get("verdict") == "harmful":
        ending = ", so its ramp and promotion wait" if told.get("role") == "signal" else ""
        return f"{said}; worse than tolerable{ending}"
    against = told.get("against")
    return f"{said}; evidence against it {against:.2f} nats" if against else said


def measured_lines(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say it of each arm, a line for each metric."""
    return [f"{arm} {text}" for arm, known in arms.items() for text in measured_texts(known)]
