"""What runs inside a serving system: a subscriber of the control topic, and the assigner."""

from leverframe.serving.assigner import assign
from leverframe.serving.routing import Assignment
from leverframe.serving.subscriber import Subscriber, ThreadSubscriber

__all__ = ["Assignment", "Subscriber", "ThreadSubscriber", "assign"]
