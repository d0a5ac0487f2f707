"""Writes weights where the traffic is split: ``leverframe actuate``."""
