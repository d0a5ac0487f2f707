"""Tests that protect users: anytime-valid verdicts on arms."""
