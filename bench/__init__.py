"""Measurements, each a command that anyone can run."""
