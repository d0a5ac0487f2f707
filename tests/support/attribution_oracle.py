"""A brute-force account of what attribution must come to, sharing no code with the product.

Events are plain tuples ``(time, "p" | "l", request id, content)``; a pair counts when its halves
lie within the window of each other; the last different label within the window of the prediction
wins.
"""

from typing import Any


def final_rewards(
    events: list[tuple[int, str, str, Any]], window: int, default: int | None = None
) -> dict[str, int | None]:
    """Return request id to 1 (right), 0 (wrong), None for a withdrawn label, else the default."""
    outcome: dict[str, int | None] = {}
    for request_id in {event[2] for event in events}:
        mine = [event for event in events if event[2] == request_id]
        prediction: tuple[int, Any] | None = None
        early: tuple[int, Any] | None = None
        label: Any = None
        counted = False
        for time, kind, _, content in mine:
            if kind == "p":
                if prediction is not None:
                    continue
                prediction = (time, content)
                in_time = early is not None and time - early[0] <= window
                if in_time and early is not None and early[1] is not None:
                    label, counted = early[1], True
            elif prediction is None:
                early = (time, content)
            elif time <= prediction[0] + window:
                if counted:
                    label = content
                elif content is not None:
                    label, counted = content, True
        if counted and prediction is not None:
            outcome[request_id] = None if label is None else int(label == prediction[1])
        elif prediction is not None and default is not None:
            outcome[request_id] = default
    return outcome
