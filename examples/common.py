"""What both examples do for Leverframe: settings, arms without a model, the record to send.

The settings have the names of the worker's, so that one environment serves both.
"""

import math
import os
import time
from collections.abc import Container
from typing import Final

from leverframe.schemas.prediction import Prediction
from leverframe.serving.routing import InForce

__all__ = ["BROKER", "KEY", "PREFIX", "answering", "record_of"]

BROKER: Final = os.environ.get("LEVERFRAME_BROKER", "127.0.0.1:9092")
PREFIX: Final = os.environ.get("LEVERFRAME_TOPICS__PREFIX", "")
KEY: Final = os.environ.get("LEVERFRAME_APP__CONTROL_KEY", "").encode() or None


def answering(drawn: str, state: InForce, models: Container[str]) -> tuple[str, float]:
    """Return the arm that answers where one was drawn: itself, or the champion in its place.

    Parameters
    ----------
    drawn : str
        By the weights; registered perhaps before its model came here.
    state : InForce
        Of the route.
    models : container of str
        Arms that have a model here.

    Returns
    -------
    tuple of str and float
        The arm that answers, and its propensity: the chance of all arms for which it answers.

    Raises
    ------
    LookupError
        If the champion has no model here either.
    """
    champion = state.message.champion
    answers = {arm: arm if arm in models else champion for arm in state.weights}
    arm = answers[drawn]
    if arm is None or arm not in models:
        raise LookupError(f"no model here for {drawn!r}, nor for the champion {champion!r}")
    return arm, min(1.0, math.fsum(state.weights[name] for name in answers if answers[name] == arm))


def record_of(
    request_id: str,
    arm: str,
    prediction: int,
    propensity: float | None,
    state: InForce,
    unit_id: str | None = None,
    replica: str | None = None,
) -> Prediction:
    """Return the record for ``predictions``; its key must be the request id.

    Parameters
    ----------
    request_id : str
        The label on ``ground-truth`` will name it.
    arm : str
        That answered.
    prediction : int
        Its answer.
    propensity : float or None
        As from ``answering``; None for an answer that was computed in shadow, and not given.
    state : InForce
        That held when the arm was drawn.
    unit_id : str, optional
        For whom it was drawn, where that is not the request.
    replica : str, optional
        Who answered: the name with which it acknowledges.

    Returns
    -------
    Prediction
        Safe weights are no message's: without epoch and seq the job does not take the request for
        one that was drawn by its weights.
    """
    safe, message = state.is_fallback, state.message
    return Prediction(
        request_id=request_id,
        route=message.route,
        arm=arm,
        prediction=prediction,
        propensity=propensity,
        served=propensity is not None,
        epoch=None if safe else message.epoch,
        seq=None if safe else message.seq,
        predicted_at_ms=time.time_ns() // 1_000_000,
        unit_id=unit_id,
        replica=replica,
    )
